"""Maps made from a seed: scattered walls, and mazes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from leo_envs.gridworld.maps import FREE, START, WALL, check_size


def random_map(size: int | Sequence[int], seed: int = 0, wall_density: float = 0.3) -> str:
    """
    A map where each cell is a wall with the same probability. The start is the centre, which is always free; other free
    cells may be out of its reach, as on the paper's map.

    :param size: rows and columns, or one number for both, up to 128
    :param seed: the same seed gives the same map
    :param wall_density: the probability of a wall
    :return: the map's text

    Example::

        >>> print(random_map(5, seed=1).replace(".", "_"))
        __#__
        ____#
        __S__
        _#_##
        _#___
    """
    rows, columns = check_size(size)
    if not 0.0 <= wall_density <= 1.0:
        raise ValueError(f"expected wall_density from 0 to 1, got {wall_density!r}; pass e.g. wall_density=0.3")
    walls = np.random.default_rng(seed).random((rows, columns)) < wall_density
    return _text(walls, (rows // 2, columns // 2))


def maze_map(size: int | Sequence[int], seed: int = 0) -> str:
    """
    A maze with exactly one way between any two free cells. Its rooms are the cells with even row and column; the start is
    the room nearest the centre.

    :param size: rows and columns, or one number for both, up to 128; odd ones leave no double wall at the edge
    :param seed: the same seed gives the same maze
    :return: the map's text

    Example::

        >>> print(maze_map(7, seed=0).replace(".", "_"))
        _______
        ####_#_
        __S#_#_
        _###_#_
        _#___#_
        _#_###_
        ___#___
    """
    rows, columns = check_size(size)
    walls = np.ones((rows, columns), dtype=np.bool_)
    start = (rows // 2 // 2 * 2, columns // 2 // 2 * 2)
    walls[start] = False
    generator = np.random.default_rng(seed)
    # A random walk that opens a way to a closed room wherever there is one, and otherwise backs out the way it came.
    trail = [start]
    while trail:
        row, column = trail[-1]
        closed = [
            (step_row, step_column)
            for step_row, step_column in ((-1, 0), (0, 1), (1, 0), (0, -1))
            if 0 <= row + 2 * step_row < rows
            and 0 <= column + 2 * step_column < columns
            and walls[row + 2 * step_row, column + 2 * step_column]
        ]
        if not closed:
            trail.pop()
            continue
        step_row, step_column = closed[generator.integers(len(closed))]
        walls[row + step_row, column + step_column] = False
        walls[row + 2 * step_row, column + 2 * step_column] = False
        trail.append((row + 2 * step_row, column + 2 * step_column))
    return _text(walls, start)


def _text(walls: npt.NDArray[np.bool_], start: tuple[int, int]) -> str:
    letters = np.where(walls, WALL, FREE)
    letters[start] = START
    return "\n".join("".join(row) for row in letters)
