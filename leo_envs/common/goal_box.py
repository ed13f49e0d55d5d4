"""The box of space that the goals of a robot lie in, and grids of named points in it."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from leo_wrappers import PointGoals

Points = npt.NDArray[np.float64]
Resolution = int | Sequence[int]

# Corners of the box that the user computed in another way may lie this much outside.
_SLACK = 1e-6
_AXES = "xyz"


class GoalBox:
    """
    Where goals may lie. Goals are named by their distance from an origin in centimetres, so that the same grid has the same
    names whatever the last digits of a simulation: "gripper/x+15,y-7.5,z+0".

    :param low: the lower corner ``[d]``
    :param high: the upper corner; an axis on which both agree has one place only
    :param origin: what the names count from
    :param family: the family of the goals' names
    :param ground: the family of goals at the lowest height, whose names leave the height out; None for no such distinction

    Example::

        >>> box = GoalBox([1.0, 0.0, 0.4], [1.2, 0.0, 0.7], origin=[1.0, 0.0, 0.4], family="air", ground="table")
        >>> box.goals((2, 1, 2), tolerance=0.05).names
        ('table/x+0,y+0', 'air/x+0,y+0,z+30', 'table/x+20,y+0', 'air/x+20,y+0,z+30')
    """

    def __init__(
        self, low: npt.ArrayLike, high: npt.ArrayLike, *, origin: npt.ArrayLike, family: str, ground: str | None = None
    ) -> None:
        self.low = np.array(low, dtype=np.float64)
        self.high = np.array(high, dtype=np.float64)
        self.origin = np.array(origin, dtype=np.float64)
        self.family = family
        self.ground = ground

    def goals(self, resolution: Resolution, tolerance: float, points: npt.ArrayLike | None = None) -> PointGoals:
        """
        The goals of a grid, or of the points that the user gives instead.

        :param resolution: how many points along each axis, or one number for all; an axis without extent has one
        :param tolerance: the largest distance that counts as reached
        :param points: these points ``[G, d]`` instead of a grid
        :return: the goals
        """
        chosen = self._grid(resolution) if points is None else self._checked(points)
        return point_goals(chosen, tolerance, self._names(chosen))

    def _grid(self, resolution: Resolution) -> Points:
        counts = check_resolution(resolution, len(self.low))
        axes = [
            spread(low, high, count if high > low else 1) for low, high, count in zip(self.low, self.high, counts, strict=True)
        ]
        return np.array(list(product(*axes)), dtype=np.float64)

    def _checked(self, points: npt.ArrayLike) -> Points:
        result = check_points(points, len(self.low))
        outside = ((result < self.low - _SLACK) | (result > self.high + _SLACK)).any(axis=1)
        if outside.any():
            corners = f"{self.low.round(3).tolist()} to {self.high.round(3).tolist()}"
            raise ValueError(
                f"expected goals within the workspace, {corners}, got {result[np.argmax(outside)].tolist()}; move it inside"
            )
        return result

    def _names(self, points: Points) -> list[str]:
        # Two decimals are a tenth of a millimetre; adding zero turns -0 into 0.
        offsets = np.round((points - self.origin) * 100.0, 2) + 0.0
        names = []
        for offset in offsets:
            on_ground = self.ground is not None and offset[-1] == 0
            shown = offset[:-1] if on_ground else offset
            where = ",".join(f"{axis}{value:+g}" for axis, value in zip(_AXES, shown, strict=False))
            names.append(f"{self.ground if on_ground else self.family}/{where}")
        return names


def point_goals(points: npt.ArrayLike, tolerance: float, names: Sequence[str]) -> PointGoals:
    """
    Goals at points as observations can show them: rounded to float32, so that ``desired_goal`` is the goal to the last bit.

    :param points: ``[G, d]``
    :param tolerance: the largest distance that counts as reached
    :param names: one a point
    :return: the goals
    """
    return PointGoals(np.asarray(points, dtype=np.float32), check_tolerance(tolerance), names=names)


def spread(low: float, high: float, count: int) -> Points:
    """
    Evenly spread numbers, both ends included; the middle where there is only one.

    :param low: the first
    :param high: the last
    :param count: how many
    :return: ``[count]``
    """
    return np.linspace(low, high, count) if count > 1 else np.array([(low + high) / 2])


def check_resolution(resolution: Any, axes: int) -> tuple[int, ...]:
    """
    A number of points along each axis, refused unless all are positive integers.

    :param resolution: one number for all axes, or one each
    :param axes: how many axes there are
    :return: one number an axis
    """
    try:
        counts = (resolution,) * axes if isinstance(resolution, int | np.integer) else tuple(resolution)
    except TypeError:
        counts = ()
    good = len(counts) == axes and all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 1 for n in counts)
    if not good:
        raise ValueError(
            f"expected resolution to be a positive integer, or {axes} of them, got {resolution!r}; pass e.g. resolution=5"
        )
    return tuple(int(count) for count in counts)


def check_points(points: npt.ArrayLike, axes: int) -> Points:
    """
    Points of the right dimension, refused unless they are finite and there is at least one.

    :param points: what the user passed
    :param axes: how many coordinates a point has
    :return: float64 ``[G, axes]``
    """
    result = np.array(points, dtype=np.float64)
    if result.ndim != 2 or result.shape[1] != axes or len(result) == 0 or not np.isfinite(result).all():
        raise ValueError(f"expected finite points of shape (G, {axes}), got shape {result.shape}; give one row a goal")
    return result


def check_tolerance(tolerance: Any) -> float:
    """
    A tolerance, refused unless it is a finite number above 0.

    :param tolerance: what the user passed
    :return: the tolerance
    """
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float | np.number) or not 0 < tolerance < np.inf:
        raise ValueError(
            f"expected a tolerance above 0, got {tolerance!r}; pass the largest distance that counts as reached, e.g. 0.05"
        )
    return float(tolerance)
