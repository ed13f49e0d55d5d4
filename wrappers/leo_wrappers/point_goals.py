"""Goals in a space of points: points with a tolerance, and the cells of a grid."""

from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import product
from math import inf, isnan, nextafter, prod, sqrt
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from leo_wrappers.goal_set import BoolArray, Goal, GoalSet, check_goal_count
from leo_wrappers.validation import check_choice, check_integer, check_iterable, check_positive, float_array

Metric = Literal["l2", "linf"]

# The squares of larger lengths overflow.
MAX_LENGTH = 1e150
# NumPy has no arrays of more than 64 axes, and the centers of a grid need one per axis.
MAX_AXES = 32

# Batches are tested in blocks of about this many differences, which fit into the cache.
_BLOCK = 32_768


class PointGoals(GoalSet):
    """
    Goals that are points: a goal is achieved if the distance to its point is at most ``tolerance``.

    :param points: the points, ``[G, d]``
    :param tolerance: the largest distance at which a goal is achieved, above 0 and up to 1e150
    :param metric: ``"l2"`` (Euclidean) or ``"linf"`` (the largest coordinate difference)
    :param names: one name per point; ``"family/x,y,..."`` if None
    :param family: the family of the default names

    Example::

        >>> goals = PointGoals([[0.0, 0.0], [1.0, 0.0]], tolerance=0.1)
        >>> goals.names
        ('point/0,0', 'point/1,0')
        >>> goals.achieved([0.95, 0.0])
        array([False,  True])
    """

    def __init__(
        self,
        points: npt.ArrayLike,
        tolerance: float,
        *,
        metric: Metric = "l2",
        names: Iterable[str] | None = None,
        family: str = "point",
    ) -> None:
        self.points = float_array("points", points)
        if self.points.ndim != 2 or 0 in self.points.shape:
            raise ValueError(f"expected points of shape (G, d), got shape {self.points.shape}; pass one row per goal")
        check_positive("tolerance", tolerance, MAX_LENGTH)
        check_choice("metric", metric, get_args(Metric))
        self.tolerance = float(tolerance)
        self.metric = metric
        if names is None:
            names = [f"{family}/" + ",".join(f"{x:g}" for x in point) for point in self.points + 0.0]  # no "-0"
        check_iterable("goal names", names)
        names = tuple(names)
        if len(names) != len(self.points):
            raise ValueError(
                f"expected one name per point, got {len(names)} names for {len(self.points)} points; omit names for defaults"
            )
        super().__init__(names, descriptors=self.points, signal_shape=self.points.shape[1:])
        self._largest_size = self.tolerance if metric == "linf" else _largest_square(self.tolerance)
        # [d, G]: the long axis of goals is the contiguous one.
        self._coordinates = np.ascontiguousarray(self.points.T)

    def achieved(self, signal: Any, out: BoolArray | None = None) -> BoolArray:
        """Test which points each signal reaches, see :class:`GoalSet`; with a fast path for the single signal of a step."""
        if out is None and type(signal) is np.ndarray and signal.shape == self.signal_shape and signal.dtype.kind in "fiub":
            sizes = self._size(self._coordinates - signal.astype(np.float64, copy=False)[:, None])
            if not isnan(sizes[0]):  # a NaN in the signal makes all sizes NaN; the slow path raises the error
                return sizes <= self._largest_size
        return super().achieved(signal, out)

    def subset(self, goals: Iterable[Goal]) -> "PointGoals":
        """
        Return the set of the given points, in the given order.

        :param goals: names or indices
        :return: a new set, which tests only these points
        """
        ids = self._indices(goals)
        names = [self.names[goal_id] for goal_id in ids]
        return PointGoals(self.points[ids], self.tolerance, metric=self.metric, names=names)

    @property
    def are_points(self) -> bool:
        """True: :meth:`reaches` accepts any point of the space."""
        return True

    def reaches(self, signal: npt.ArrayLike, point: npt.ArrayLike) -> BoolArray:
        """Test whether the distance of each signal to the point is at most the tolerance."""
        difference = np.asarray(signal, dtype=np.float64) - np.asarray(point, dtype=np.float64)
        return np.asarray(self._size(np.moveaxis(difference, -1, 0)) <= self._largest_size)

    def _test(self, signal: npt.NDArray[Any]) -> BoolArray:
        signal = signal.astype(np.float64, copy=False)
        columns = signal.reshape(-1, signal.shape[-1]).T
        mask = np.empty((columns.shape[1], len(self)), dtype=bool)
        block = max(1, _BLOCK // self._coordinates.size)
        for start in range(0, len(mask), block):
            rows = slice(start, start + block)
            differences = self._coordinates[:, None, :] - columns[:, rows, None]
            np.less_equal(self._size(differences), self._largest_size, out=mask[rows])
        return mask.reshape(*signal.shape[:-1], len(self))

    def _size(self, differences: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the length (l2: its square) of difference vectors along the first axis, in place."""
        if self.metric == "linf":
            return np.maximum.reduce(np.abs(differences, out=differences))
        squares = np.multiply(differences, differences, out=differences)
        if len(squares) < 8:
            return np.add.reduce(squares)
        # NumPy sums eight or more numbers in an order that depends on the memory layout; adding one by one gives bitwise equal
        # results for single signals and batches.
        return reduce(np.add, squares)


def _largest_square(length: float) -> float:
    """
    Return the largest number whose square root is at most ``length``.

    Comparing squared lengths with it equals comparing lengths, including rounding: robotics environments compare the norm, and
    the mask must equal their test on the boundary too. ``length * length`` may differ by a rounding error.
    """
    square = length * length
    while sqrt(square) > length:
        square = nextafter(square, 0.0)
    while sqrt(nextafter(square, inf)) <= length:
        square = nextafter(square, inf)
    return square


def _checked_cells(shape: Sequence[int]) -> tuple[int, ...]:
    """Validate the number of cells along each axis, before names and centers of too many are created."""
    check_iterable("numbers of cells, one per axis,", shape)
    for count in shape:
        check_integer("the number of cells along each axis", count, 1)
    cells = tuple(int(count) for count in shape)
    if len(cells) > MAX_AXES:
        raise ValueError(f"expected a grid of at most {MAX_AXES} axes, got {len(cells)}; choose the axes that matter")
    check_goal_count(prod(cells))
    return cells


class GridGoals(GoalSet):
    """
    Goals that are the cells of a grid over a box: a point in the box achieves exactly one goal, a point outside none.

    A cell includes its lower faces, and the last cell along each axis its upper face. The cell is computed from the
    coordinates, so the cost per point does not grow with the number of cells, except for writing the mask.

    :param low: lower corner of the box, ``[d]``
    :param high: upper corner of the box, ``[d]``
    :param shape: number of cells along each axis
    :param names: one name per cell in row-major order; ``"family/i,j,..."`` if None
    :param family: the family of the default names

    Example::

        >>> goals = GridGoals(low=[0, 0], high=[1, 1], shape=[2, 2])
        >>> goals.names
        ('cell/0,0', 'cell/0,1', 'cell/1,0', 'cell/1,1')
        >>> goals.achieved([0.2, 0.9])
        array([False,  True, False, False])
    """

    def __init__(
        self,
        low: npt.ArrayLike,
        high: npt.ArrayLike,
        shape: Sequence[int],
        *,
        names: Iterable[str] | None = None,
        family: str = "cell",
    ) -> None:
        self.low, self.high = float_array("low", low), float_array("high", high)
        self.shape = _checked_cells(shape)
        box_shape = (len(self.shape),)
        if self.low.shape != box_shape or self.high.shape != box_shape or not self.shape:
            raise ValueError(
                f"expected low, high and shape of one length, got {self.low.shape}, {self.high.shape} and {len(self.shape)}; "
                "pass one entry per axis"
            )
        if not ((self.low < self.high).all() and np.isfinite(self.high - self.low).all()):
            raise ValueError(
                f"expected low < high, with a finite difference, on every axis, got {self.low.tolist()} and "
                f"{self.high.tolist()}; swap or fix them"
            )
        if names is None:
            names = (f"{family}/" + ",".join(map(str, cell)) for cell in product(*map(range, self.shape)))
        check_iterable("goal names", names)
        names = tuple(names)
        if len(names) != prod(self.shape):
            raise ValueError(
                f"expected one name per cell, got {len(names)} names for {prod(self.shape)} cells; omit names for defaults"
            )
        axes = [
            low + (np.arange(n) + 0.5) * (high - low) / n for low, high, n in zip(self.low, self.high, self.shape, strict=True)
        ]
        self.centers = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(self.shape))
        super().__init__(names, descriptors=self.centers, signal_shape=box_shape)
        self._cells_per_unit = np.array(self.shape) / (self.high - self.low)
        self._strides = np.array([int(np.prod(self.shape[axis + 1 :])) for axis in range(len(self.shape))], dtype=np.int64)
        columns = (self.low, self.high, self._cells_per_unit, self._strides, self.shape)
        self._axes = list(zip(*(np.asarray(column).tolist() for column in columns), strict=True))

    def cell_of(self, signal: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """
        Return the goal id of the cell of each point.

        :param signal: points ``[..., d]``
        :return: goal ids ``[...]``, -1 outside the box
        """
        return self._cell_of(self._checked_signal(signal))

    @property
    def are_points(self) -> bool:
        """True: :meth:`reaches` accepts any point of the space."""
        return True

    def reaches(self, signal: npt.ArrayLike, point: npt.ArrayLike) -> BoolArray:
        """Test whether each signal lies in the same cell as the point."""
        cell = self.cell_of(signal)
        return np.asarray((cell >= 0) & (cell == self.cell_of(point)))

    def _cell_of(self, signal: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        signal = signal.astype(np.float64, copy=False)
        inside = np.logical_and(signal >= self.low, signal <= self.high).all(axis=-1)
        # Clip before the cast: points far outside would overflow, and the upper face belongs to the last cell.
        position = np.clip((signal - self.low) * self._cells_per_unit, 0, np.array(self.shape) - 1)
        cells = position.astype(np.int64) @ self._strides
        return np.where(inside, cells, -1)

    def _cell_of_one(self, point: list[float]) -> int:
        """Compute ``_cell_of`` for a single point with Python numbers, which is many times faster."""
        cell = 0
        for x, (low, high, cells_per_unit, stride, count) in zip(point, self._axes, strict=True):
            if not low <= x <= high:
                return -1
            cell += min(int((x - low) * cells_per_unit), count - 1) * stride
        return cell

    def _test(self, signal: npt.NDArray[Any]) -> BoolArray:
        if signal.ndim == 1:
            single = np.zeros(len(self), dtype=bool)
            cell = self._cell_of_one(signal.tolist())
            if cell >= 0:
                single[cell] = True
            return single
        cells = self._cell_of(signal)
        mask = np.zeros((*cells.shape, len(self)), dtype=bool)
        inside = np.flatnonzero(cells.reshape(-1) >= 0)
        mask.reshape(-1, len(self))[inside, cells.reshape(-1)[inside]] = True
        return mask
