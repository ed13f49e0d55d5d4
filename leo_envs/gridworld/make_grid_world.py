"""Creation of grid worlds from the arguments of the environments."""

from collections.abc import Sequence

from leo_envs.gridworld.generators import maze_map, random_map
from leo_envs.gridworld.key_door import KeyDoorWorld
from leo_envs.gridworld.maps import START, GridMap, paper_map
from leo_envs.gridworld.mdp import GridWorld


def make_grid_world(
    map: str | Sequence[str],
    size: int | Sequence[int] | None,
    map_seed: int | None,
    start: Sequence[int] | str | None,
    observation: str,
) -> GridWorld:
    """
    Create a grid world from the arguments of :class:`leo_envs.gridworld.GridWorldEnv`.

    :param map: "paper", "random", "maze", or a map as text
    :param size: size of a random map or maze
    :param map_seed: seed of a random map or maze
    :param start: start cell, "random" or None
    :param observation: kind of observation
    :return: the grid world, with a key and a door if the map has them
    """
    generate = {"random": random_map, "maze": maze_map}.get(map) if isinstance(map, str) else None
    if generate is not None:
        grid = GridMap(generate(16 if size is None else size, 0 if map_seed is None else map_seed))
        return GridWorld(grid, start, observation)
    if size is not None or map_seed is not None:
        raise ValueError(
            f"expected size and map_seed only with map='random' or map='maze', got size={size!r} and map_seed={map_seed!r}; "
            "remove them"
        )
    if isinstance(map, str) and map.isalpha() and map != "paper" and set(map) != {START}:
        raise ValueError(f"expected map to be 'paper', 'random', 'maze' or a map's text, got {map!r}; choose one of these")
    grid = paper_map() if map == "paper" else GridMap(map)
    return (GridWorld if grid.key is None else KeyDoorWorld)(grid, start, observation)
