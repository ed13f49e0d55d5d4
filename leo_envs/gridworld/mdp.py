"""The rules of a grid world."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from leo_envs.common.arrays import one_hot
from leo_envs.common.mdp import BoolArray, FloatArray, IntArray, World
from leo_envs.gridworld.generators import maze_map, random_map
from leo_envs.gridworld.maps import START, Cell, GridMap, paper_map
from leo_envs.gridworld.observations import OBSERVATIONS
from leo_envs.gridworld.rendering import GridPainter
from leo_wrappers.validation import check_choice

MOVES: IntArray = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)], dtype=np.intp)
"""Up, right, down, left, as steps in row and column."""


class GridWorld(World):
    """
    Four moves on a map. A move into a wall or over the edge stays in place. The states are the free cells in row-major
    order, and standing on cell g achieves goal g.

    :param grid: the map
    :param start: where episodes begin: a cell, or "random" for any free cell; the map's ``S`` or else its centre when None
    :param observation: "row_column", "coordinates" or "one_hot"

    Example::

        >>> world = GridWorld(GridMap("S.."))
        >>> world.next_states([0, 0, 1], [1, 3, 1])
        array([1, 0, 2])
    """

    def __init__(self, grid: GridMap, start: Sequence[int] | str | None = None, observation: str = "row_column") -> None:
        check_choice("observation", observation, tuple(OBSERVATIONS))
        self.grid = grid
        self._observation = OBSERVATIONS[observation](grid)
        super().__init__(
            num_states=len(grid.cells),
            num_actions=len(MOVES),
            goal_names=[f"cell/{row},{column}" for row, column in grid.cells.tolist()],
            starts=_starts(grid, start),
            observation_space=self._observation.space,
        )
        targets = grid.cells[:, None] + MOVES
        inside: BoolArray = np.all((targets >= 0) & (targets < grid.shape), axis=-1)
        numbers = grid.numbers[tuple(np.where(inside[..., None], targets, 0).transpose(2, 0, 1))]
        stays = ~inside | (numbers < 0)
        self._next = np.where(stays, np.arange(self.num_states)[:, None], numbers).reshape(-1)

    def next_states(self, states: npt.ArrayLike, actions: npt.ArrayLike) -> IntArray:
        """The cell each move leads to."""
        return self._next.take(np.asarray(states, dtype=np.intp) * len(MOVES) + np.asarray(actions, dtype=np.intp))

    def observe(self, states: npt.ArrayLike) -> FloatArray:
        """The cells as vectors."""
        return self._observation.encode(states)

    def states_of(self, observations: npt.ArrayLike) -> IntArray:
        """The cells that look like this."""
        array = np.asarray(observations, dtype=np.float32)
        if array.shape[-1:] != self.observation_space.shape:
            raise ValueError(
                f"expected observations of shape (..., {self.observation_space.shape[0]}), got {array.shape}; pass them whole"
            )
        states = self._observation.decode(array)
        if np.any(states < 0):
            raise ValueError("expected observations of free cells, got that of a wall; pass what this environment returned")
        return states

    def achieved(self, states: npt.ArrayLike) -> BoolArray:
        """True at the number of the cell."""
        return one_hot(states, self.num_goals, np.bool_)

    def states_achieving(self, goals: IntArray) -> tuple[IntArray, IntArray]:
        """Each goal is achieved on its own cell alone."""
        return goals, np.arange(len(goals))

    def state_at(self, place: Any) -> int:
        """The number of a cell given as (row, column)."""
        return self.grid.number_of(place)

    def goal_descriptors(self) -> FloatArray:
        """Row and column, each from 0 to 1."""
        return OBSERVATIONS["coordinates"](self.grid).encode(np.arange(self.num_states))

    @cached_property
    def painter(self) -> GridPainter:
        """Draws the map, the agent and the goal."""
        return GridPainter(self.grid)


def make_world(
    map: str | Sequence[str],
    size: int | Sequence[int] | None,
    map_seed: int | None,
    start: Sequence[int] | str | None,
    observation: str,
) -> GridWorld:
    """
    The world of an environment's arguments, see :class:`leo_envs.gridworld.GridWorldEnv`.

    :param map: "paper", "random", "maze", or a map's text
    :param size: of a random map or maze
    :param map_seed: of a random map or maze
    :param start: a cell, "random" or None
    :param observation: the form of observation
    :return: the world
    """
    generate = {"random": random_map, "maze": maze_map}.get(map) if isinstance(map, str) else None
    if generate is not None:
        return GridWorld(
            GridMap(generate(16 if size is None else size, 0 if map_seed is None else map_seed)), start, observation
        )
    if size is not None or map_seed is not None:
        raise ValueError(
            f"expected size and map_seed only with map='random' or map='maze', got size={size!r} and map_seed={map_seed!r}; "
            "drop them"
        )
    if isinstance(map, str) and map.isalpha() and map != "paper" and set(map) != {START}:
        raise ValueError(f"expected map to be 'paper', 'random', 'maze' or a map's text, got {map!r}; choose one of these")
    return GridWorld(paper_map() if map == "paper" else GridMap(map), start, observation)


def _starts(grid: GridMap, start: Sequence[int] | str | None) -> list[int]:
    if isinstance(start, str):
        check_choice("start", start, ("random",))
        return list(range(len(grid.cells)))
    if start is not None:
        return [grid.number_of(start)]
    if grid.starts:
        return [grid.number_of(cell) for cell in grid.starts]
    centre: Cell = grid.centre
    if grid.walls[centre]:
        raise ValueError(
            f"expected a start, got a map without 'S' whose centre {centre} is a wall; "
            "write an 'S' or pass start=(row, column)"
        )
    return [grid.number_of(centre)]
