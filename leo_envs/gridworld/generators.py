"""Random maps and mazes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from leo_envs.gridworld.maps import FREE, START, WALL, check_size
from leo_wrappers.validation import check_fraction, check_integer


def random_map(size: int | Sequence[int], seed: int = 0, wall_density: float = 0.3) -> str:
    """
    Generate a map on which each cell is a wall with the same probability. The start is the center, which is always free;
    some free cells may be unreachable from it, as on the paper's map.

    :param size: rows and columns, or one number for both, at most 128
    :param seed: random seed
    :param wall_density: probability of a wall
    :return: the map as text

    Example::

        >>> print(random_map(5, seed=1).replace(".", "_"))
        __#__
        ____#
        __S__
        _#_##
        _#___
    """
    rows, columns = check_size(size)
    check_integer("seed", seed, 0)
    check_fraction("wall_density", wall_density)
    walls = np.random.default_rng(seed).random((rows, columns)) < wall_density
    return _text(walls, (rows // 2, columns // 2))


def maze_map(size: int | Sequence[int], seed: int = 0) -> str:
    """
    Generate a maze with exactly one path between any two free cells. Its rooms are the cells with even row and column; the
    start is the room closest to the center.

    :param size: rows and columns, or one number for both, at most 128; odd sizes avoid a double wall at the edge
    :param seed: random seed
    :return: the map as text

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
    check_integer("seed", seed, 0)
    walls = np.ones((rows, columns), dtype=np.bool_)
    start = (rows // 2 // 2 * 2, columns // 2 // 2 * 2)
    walls[start] = False
    generator = np.random.default_rng(seed)
    # Randomized depth-first search with backtracking.
    path = [start]
    while path:
        row, column = path[-1]
        closed = [
            (step_row, step_column)
            for step_row, step_column in ((-1, 0), (0, 1), (1, 0), (0, -1))
            if 0 <= row + 2 * step_row < rows
            and 0 <= column + 2 * step_column < columns
            and walls[row + 2 * step_row, column + 2 * step_column]
        ]
        if not closed:
            path.pop()
            continue
        step_row, step_column = closed[generator.integers(len(closed))]
        walls[row + step_row, column + step_column] = False
        walls[row + 2 * step_row, column + 2 * step_column] = False
        path.append((row + 2 * step_row, column + 2 * step_column))
    return _text(walls, start)


def _text(walls: npt.NDArray[np.bool_], start: tuple[int, int]) -> str:
    letters = np.where(walls, WALL, FREE)
    letters[start] = START
    return "\n".join("".join(row) for row in letters)
