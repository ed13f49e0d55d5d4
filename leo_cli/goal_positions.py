"""Where goals lie: in the plane, or in the layers of a space."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from leo_agents.evaluation.goal_report import FloatArray, GoalReport, IntArray

_MOST_LAYERS = 6


@dataclass(frozen=True, eq=False)
class Places:
    """
    Where goals lie.

    :param positions: of the goals in the plane, ``[G, 2]``
    :param axes: what the coordinates are; an axis called "row" points downwards
    :param heights: of the goals, ``[G]``, where they lie in space

    Example::

        >>> places = Places(np.zeros((4, 2)), ("x", "y"), np.array([0.5, 0.0, 0.5, 0.0]))
        >>> [(title, goals.tolist()) for title, goals in places.layers()]
        [('z 0', [1, 3]), ('z 0.5', [0, 2])]
    """

    positions: FloatArray
    axes: tuple[str, str]
    heights: FloatArray | None = None

    def layers(self) -> list[tuple[str, IntArray]]:
        """
        :return: from below, what to call each layer and which goals lie in it; all in one, without a title, in the plane
        """
        everything = np.arange(len(self.positions))
        if self.heights is None:
            return [("", everything)]
        heights = np.round(self.heights, 6)
        levels = np.unique(heights)
        if len(levels) <= _MOST_LAYERS:
            return [(f"z {level:.3g}", everything[heights == level]) for level in levels]
        # Goals on no lattice: as many in each layer.
        groups = np.array_split(np.argsort(heights, kind="stable"), _MOST_LAYERS)
        return [(f"z {heights[group].min():.3g} to {heights[group].max():.3g}", group) for group in groups]

    def layer_at(self, height: float) -> int:
        """
        :param height: of any point
        :return: the layer it is nearest to
        """
        heights = self.heights
        if heights is None:
            return 0
        return int(np.argmin([np.abs(heights[goals] - height).min() for _, goals in self.layers()]))


def places_of(report: GoalReport, env: gym.Env[Any, Any]) -> Places | None:
    """
    :param report: about some goals of an environment
    :param env: the environment
    :return: where they lie; None where they are no places
    """
    if report.positions is not None:
        return Places(report.positions, report.axes)
    points = goal_points(env)
    if points is None or points.shape[1] != 3:
        return None
    chosen = points[report.goal_ids]
    return Places(chosen[:, :2], ("x", "y"), None if np.ptp(chosen[:, 2]) < 1e-6 else chosen[:, 2])


def goal_points(env: gym.Env[Any, Any]) -> FloatArray | None:
    """
    :param env: a multi-goal environment
    :return: the goals' points ``[G, d]``, if they have any
    """
    points = env.get_wrapper_attr("goal_points") if env.has_wrapper_attr("goal_points") else None
    return None if points is None else np.asarray(points, dtype=np.float64)
