"""Maps of walls and start cells, parsed from text."""

import operator
from collections.abc import Sequence
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from leo_wrappers.validation import check_iterable

MAX_SIZE = 128
"""Largest number of rows or columns of a map: 16,384 cells."""

WALL, FREE, START, KEY, DOOR = "#", ".", "S", "K", "D"

Cell = tuple[int, int]


class GridMap:
    """
    Map parsed from text: ``#`` is a wall, ``.`` a free cell, ``S`` a free cell where episodes start, ``K`` the cell of a key
    and ``D`` that of a locked door. The map's edge acts as a wall.

    :param text: the map, as one string with one line per row or as a sequence of rows

    Example::

        >>> grid = GridMap("S.#|..#".replace("|", chr(10)))
        >>> grid.shape, len(grid.cells), grid.starts
        ((2, 3), 4, [(0, 0)])
    """

    def __init__(self, text: str | Sequence[str]) -> None:
        if isinstance(text, str):
            text = text.strip().splitlines()
        check_iterable("the rows of a map", text)
        rows = [str(row).strip() for row in text]
        _check_rows(rows)
        letters = np.array([list(row) for row in rows])
        self.walls: npt.NDArray[np.bool_] = letters == WALL
        self.shape: Cell = (len(rows), len(rows[0]))
        self.cells: npt.NDArray[np.intp] = np.argwhere(~self.walls)
        if not len(self.cells):
            raise ValueError(
                f"expected a map with at least one free cell, got {len(rows)} rows of walls; write '.' for free cells"
            )
        self.starts: list[Cell] = [(int(row), int(column)) for row, column in np.argwhere(letters == START)]
        self.key, self.door = _key_and_door(letters)
        # Index of each free cell in row-major order, -1 on walls.
        self.numbers: npt.NDArray[np.intp] = np.full(self.shape, -1, dtype=np.intp)
        self.numbers[~self.walls] = np.arange(len(self.cells))

    def __str__(self) -> str:
        letters = np.where(self.walls, WALL, FREE)
        for cell in self.starts:
            letters[cell] = START
        if self.key is not None and self.door is not None:
            letters[self.key], letters[self.door] = KEY, DOOR
        return "\n".join("".join(row) for row in letters)

    @property
    def center(self) -> Cell:
        """The center cell, rounded down and to the right if the size is even."""
        return self.shape[0] // 2, self.shape[1] // 2

    def number_of(self, cell: Sequence[int]) -> int:
        """
        Return the index of a free cell in row-major order; raise ValueError for a wall or a cell outside the map.

        :param cell: row and column
        :return: index into ``cells``
        """
        try:
            row, column = (operator.index(axis) for axis in cell)
        except (TypeError, ValueError):
            raise ValueError(f"expected a cell as (row, column), got {cell!r}; pass two integers") from None
        rows, columns = self.shape
        if not (0 <= row < rows and 0 <= column < columns):
            raise ValueError(
                f"expected a cell of the {rows} x {columns} map, got ({row}, {column}); rows and columns count from 0"
            )
        if self.walls[row, column]:
            raise ValueError(f"expected a free cell, got the wall at ({row}, {column}); choose a cell that is '.' on the map")
        return int(self.numbers[row, column])


def paper_map() -> GridMap:
    """
    Return the 16 x 16 map of the LEO paper, on which episodes start in the center.

    :return: the map, without an ``S``

    Example::

        >>> paper_map().shape, len(paper_map().cells), paper_map().center
        ((16, 16), 180, (8, 8))
    """
    return GridMap(files("leo_envs.gridworld").joinpath("data/paper16.txt").read_text(encoding="ascii"))


def check_size(size: int | Sequence[int]) -> Cell:
    """
    Validate the size of a map: from 1 to :data:`MAX_SIZE` rows and columns.

    :param size: one number for a square map, or rows and columns
    :return: rows and columns
    """
    pair = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(pair) != 2 or not all(isinstance(edge, int | np.integer) and 1 <= edge <= MAX_SIZE for edge in pair):
        raise ValueError(
            f"expected a size from 1 to {MAX_SIZE}, or two of them, got {size!r}; pass e.g. size=32 or size=(16, 32)"
        )
    return int(pair[0]), int(pair[1])


def _key_and_door(letters: npt.NDArray[np.str_]) -> tuple[Cell | None, Cell | None]:
    """Return the cells of the key and of the door; None for both if the map has neither."""
    keys, doors = ([(int(row), int(column)) for row, column in np.argwhere(letters == letter)] for letter in (KEY, DOOR))
    if not keys and not doors:
        return None, None
    if len(keys) != 1 or len(doors) != 1:
        raise ValueError(
            f"expected one key 'K' and one door 'D' on the map, or neither, got {len(keys)} and {len(doors)}; change the map"
        )
    return keys[0], doors[0]


def _check_rows(rows: Sequence[str]) -> None:
    if not rows or not rows[0]:
        raise ValueError(
            "expected a map with at least one free cell, got empty text; write '#' for walls and '.' for free cells"
        )
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"expected rows of equal length, got {len(rows[0])} cells in row 0 and {len(row)} in row {number}; "
                "pad shorter rows with '#'"
            )
        unknown = sorted(set(row) - {WALL, FREE, START, KEY, DOOR})
        if unknown:
            raise ValueError(f"expected only '#', '.', 'S', 'K', 'D' on the map, got {unknown} in row {number}; replace them")
    if max(len(rows), len(rows[0])) > MAX_SIZE:
        raise ValueError(
            f"expected a map of at most {MAX_SIZE} x {MAX_SIZE} cells, got {len(rows)} x {len(rows[0])}; use a smaller map"
        )
