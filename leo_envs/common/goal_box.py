"""The box that contains a robot's goals, and grids of named points in it."""

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from leo_wrappers import PointGoals
from leo_wrappers.goal_set import check_goal_count
from leo_wrappers.validation import float_array

Points = npt.NDArray[np.float64]
Resolution = int | Sequence[int]

# Tolerates rounding errors of points on the surface of the box.
_SLACK = 1e-6
_AXES = "xyz"


class GoalBox:
    """
    Box of possible goals. Goals are named by their offset from an origin in centimeters, which does not depend on the last
    digits of a simulation's coordinates: "gripper/x+15,y-7.5,z+0".

    :param low: lower corner ``[d]``
    :param high: upper corner ``[d]``; equal to ``low`` on an axis without extent
    :param origin: origin of the names ``[d]``
    :param family: family of the goals
    :param ground: family of goals on the ground (offset 0 on the last axis), whose names omit the height; None for no
        separate family

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
        Create goals at the points of a grid, or at given points.

        :param resolution: number of points along each axis, or one number for all axes; 1 on an axis without extent
        :param tolerance: largest distance at which a goal counts as achieved
        :param points: points ``[G, d]`` to use instead of a grid
        :return: the goals, named by position
        """
        chosen = self._grid(resolution) if points is None else self._checked(points)
        return point_goals(chosen, tolerance, self._names(chosen))

    def _grid(self, resolution: Resolution) -> Points:
        counts = check_resolution(resolution, len(self.low))
        counts = tuple(count if high > low else 1 for low, high, count in zip(self.low, self.high, counts, strict=True))
        check_goal_count(prod(counts))
        axes = [spread(low, high, count) for low, high, count in zip(self.low, self.high, counts, strict=True)]
        return np.array(list(product(*axes)), dtype=np.float64)

    def _checked(self, points: npt.ArrayLike) -> Points:
        result = check_points(points, len(self.low))
        outside = ((result < self.low - _SLACK) | (result > self.high + _SLACK)).any(axis=1)
        if outside.any():
            corners = f"{self.low.round(3).tolist()} to {self.high.round(3).tolist()}"
            raise ValueError(
                f"expected goals within the workspace, {corners}, got {result[np.argmax(outside)].tolist()}; "
                "choose a point inside"
            )
        return result

    def _names(self, points: Points) -> list[str]:
        # Two decimals are 0.1 mm; adding zero turns -0 into 0.
        offsets = np.round((points - self.origin) * 100.0, 2) + 0.0
        names = []
        for offset in offsets:
            on_ground = self.ground is not None and offset[-1] == 0
            named = offset[:-1] if on_ground else offset
            detail = ",".join(f"{axis}{value:+g}" for axis, value in zip(_AXES, named, strict=False))
            names.append(f"{self.ground if on_ground else self.family}/{detail}")
        return names


def point_goals(points: npt.ArrayLike, tolerance: float, names: Sequence[str]) -> PointGoals:
    """
    Create goals at points rounded to float32, the dtype of observations, so that ``desired_goal`` equals the goal's point.

    :param points: ``[G, d]``
    :param tolerance: largest distance at which a goal counts as achieved
    :param names: one name per point
    :return: the goals
    """
    return PointGoals(np.asarray(points, dtype=np.float32), check_tolerance(tolerance), names=names)


def spread(low: float, high: float, count: int) -> Points:
    """
    Return evenly spaced numbers, both ends included, or the center if ``count`` is 1.

    :param low: smallest number
    :param high: largest number
    :param count: number of numbers
    :return: ``[count]``
    """
    return np.linspace(low, high, count) if count > 1 else np.array([(low + high) / 2])


def check_resolution(resolution: Any, axes: int) -> tuple[int, ...]:
    """
    Validate the resolution of a grid: one or more positive integers.

    :param resolution: one number for all axes, or one per axis
    :param axes: number of axes
    :return: one number per axis
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
    result = tuple(int(count) for count in counts)
    check_goal_count(max(result))
    return result


def check_points(points: npt.ArrayLike, axes: int) -> Points:
    """
    Validate points: at least one, finite and of the right dimension.

    :param points: the points that the user passed
    :param axes: number of coordinates of a point
    :return: float64 ``[G, axes]``
    """
    result = float_array("points", points)
    if result.ndim != 2 or result.shape[1] != axes or len(result) == 0:
        raise ValueError(f"expected finite points of shape (G, {axes}), got shape {result.shape}; pass one row per goal")
    return result


def check_tolerance(tolerance: Any) -> float:
    """
    Validate a tolerance: a finite number above 0.

    :param tolerance: the tolerance that the user passed
    :return: the tolerance
    """
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float | np.number) or not 0 < tolerance < np.inf:
        raise ValueError(
            f"expected a tolerance above 0, got {tolerance!r}; pass the largest distance that counts as achieved, e.g. 0.05"
        )
    return float(tolerance)
