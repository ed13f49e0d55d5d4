"""The three invertible observations of the agent's cell."""

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_envs.common.arrays import one_hot
from leo_envs.common.mdp import FloatArray, IntArray
from leo_envs.gridworld.maps import GridMap


class Observation(ABC):
    """
    Invertible encoding of free cells as float32 vectors in [0, 1].

    :param grid: the map
    :param width: length of the vectors
    """

    def __init__(self, grid: GridMap, width: int) -> None:
        self.grid = grid
        self.space: spaces.Box = spaces.Box(0.0, 1.0, (width,), np.float32)

    @abstractmethod
    def encode(self, states: npt.ArrayLike) -> FloatArray:
        """Return the observations of these states, ``[..., width]``."""

    @abstractmethod
    def decode(self, observations: FloatArray) -> IntArray:
        """Return the states of these observations, -1 for walls."""


class TableObservation(Observation):
    """
    Encoding by a precomputed table of all cells.

    :param grid: the map
    :param table: one row per free cell, ``[S, width]``
    """

    def __init__(self, grid: GridMap, table: FloatArray) -> None:
        super().__init__(grid, table.shape[1])
        self._table = table

    def encode(self, states: npt.ArrayLike) -> FloatArray:
        """Return copies of the table's rows."""
        return self._table.take(np.asarray(states, dtype=np.intp), axis=0)


class RowColumn(TableObservation):
    """
    One-hot row and one-hot column, concatenated.

    :param grid: the map

    Example::

        >>> RowColumn(GridMap(["..", ".#"])).encode(1)
        array([1., 0., 0., 1.], dtype=float32)
    """

    def __init__(self, grid: GridMap) -> None:
        rows, columns = grid.shape
        table = np.zeros((len(grid.cells), rows + columns), dtype=np.float32)
        numbers = np.arange(len(grid.cells))
        table[numbers, grid.cells[:, 0]] = 1.0
        table[numbers, rows + grid.cells[:, 1]] = 1.0
        super().__init__(grid, table)

    def decode(self, observations: FloatArray) -> IntArray:
        """Return the cell of the largest row entry and the largest column entry."""
        rows = self.grid.shape[0]
        row = observations[..., :rows].argmax(axis=-1)
        column = observations[..., rows:].argmax(axis=-1)
        return self.grid.numbers[row, column]


class Coordinates(TableObservation):
    """
    Row and column, each scaled to [0, 1].

    :param grid: the map

    Example::

        >>> Coordinates(GridMap(["...", "..."])).encode([1, 3])
        array([[0. , 0.5],
               [1. , 0. ]], dtype=float32)
    """

    def __init__(self, grid: GridMap) -> None:
        self._last = np.maximum(np.array(grid.shape) - 1, 1)
        super().__init__(grid, (grid.cells / self._last).astype(np.float32))

    def decode(self, observations: FloatArray) -> IntArray:
        """Return the nearest cell."""
        cells = np.rint(np.clip(observations, 0.0, 1.0) * self._last).astype(np.intp)
        return self.grid.numbers[
            np.minimum(cells[..., 0], self.grid.shape[0] - 1), np.minimum(cells[..., 1], self.grid.shape[1] - 1)
        ]


class OneHot(Observation):
    """
    One entry per free cell. Computed on demand: the table of a map of 16,384 cells would take a gigabyte.

    :param grid: the map

    Example::

        >>> OneHot(GridMap(["..", ".#"])).encode(2)
        array([0., 0., 1.], dtype=float32)
    """

    def __init__(self, grid: GridMap) -> None:
        super().__init__(grid, len(grid.cells))

    def encode(self, states: npt.ArrayLike) -> FloatArray:
        """Return one-hot vectors."""
        return one_hot(states, len(self.grid.cells), np.float32)

    def decode(self, observations: FloatArray) -> IntArray:
        """Return the cell of the largest entry."""
        return observations.argmax(axis=-1)


OBSERVATIONS: dict[str, type[RowColumn | Coordinates | OneHot]] = {
    "row_column": RowColumn,
    "coordinates": Coordinates,
    "one_hot": OneHot,
}
