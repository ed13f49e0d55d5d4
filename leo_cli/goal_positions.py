"""Positions of goals in 2D or 3D."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv

from leo_agents.evaluation.evaluate import goal_positions
from leo_agents.evaluation.goal_report import FloatArray, GoalReport, IntArray

_MAX_LAYERS = 6
_CELL = re.compile(r"cell/(\d+),(\d+)")


@dataclass(frozen=True, eq=False)
class GoalPositions:
    """
    Positions of goals.

    :param positions: horizontal positions, ``[G, 2]``
    :param axes: names of the two coordinates; an axis named "row" points downwards
    :param heights: third coordinate, ``[G]``, if the goals have one

    Example::

        >>> positions = GoalPositions(np.zeros((4, 2)), ("x", "y"), np.array([0.5, 0.0, 0.5, 0.0]))
        >>> [(title, goals.tolist()) for title, goals in positions.layers()]
        [('z 0', [1, 3]), ('z 0.5', [0, 2])]
    """

    positions: FloatArray
    axes: tuple[str, str]
    heights: FloatArray | None = None

    def layers(self) -> list[tuple[str, IntArray]]:
        """
        Group the goals by height.

        :return: title and goal indices of each layer, the lowest first; a single untitled layer without heights
        """
        indices = np.arange(len(self.positions))
        if self.heights is None:
            return [("", indices)]
        heights = np.round(self.heights, 6)
        levels = np.unique(heights)
        if len(levels) <= _MAX_LAYERS:
            return [(f"z {level:.3g}", indices[heights == level]) for level in levels]
        # Scattered heights: layers of equal size.
        groups = np.array_split(np.argsort(heights, kind="stable"), _MAX_LAYERS)
        return [(f"z {heights[group].min():.3g} to {heights[group].max():.3g}", group) for group in groups]

    def layer_at(self, height: float) -> int:
        """
        Find the layer nearest to a height.

        :param height: the height; ignored if the goals have none
        :return: index of the layer
        """
        heights = self.heights
        if heights is None:
            return 0
        return int(np.argmin([np.abs(heights[goals] - height).min() for _, goals in self.layers()]))


def find_goal_positions(report: GoalReport, env: gym.Env[Any, Any], points: FloatArray | None = None) -> GoalPositions | None:
    """
    Find the positions of the goals of a report.

    :param report: the report
    :param env: its environment
    :param points: points of all goals, ``[G, d]``; those of the environment by default
    :return: the positions; None if the goals have neither 2D nor 3D positions
    """
    points = goal_points(env) if points is None else points
    if points is None or points.shape[1] != 3:
        return None if report.positions is None else GoalPositions(report.positions, report.axes)
    points = points[report.goal_ids]
    return GoalPositions(points[:, :2], ("x", "y"), None if np.ptp(points[:, 2]) < 1e-6 else points[:, 2])


def locate_goals(
    report: GoalReport, env: gym.Env[Any, Any], points: FloatArray | None = None
) -> tuple[GoalReport, GoalPositions] | None:
    """
    Find the positions of those goals of a report that have one.

    :param report: the report
    :param env: its environment
    :param points: points of all goals, ``[G, d]``; those of the environment by default
    :return: the report of these goals and their positions; None if no goals have 2D or 3D positions
    """
    if points is None and env.has_wrapper_attr("achieved_goal_points"):
        points = np.asarray(env.get_wrapper_attr("achieved_goal_points"), dtype=np.float64)
        if (report.goal_ids >= len(points)).any():
            report = report.subset(report.goal_ids < len(points))
    positions = find_goal_positions(report, env, points)
    if positions is not None:
        return report, positions
    cells = cells_among(report.goal_names)
    return (report.subset(list(cells)), _cell_positions(cells)) if points is None and cells else None


def goal_coordinates(env: gym.Env[Any, Any], points: FloatArray | None = None) -> GoalPositions | None:
    """
    Find the positions of all goals of an environment, or of the first ones if only these are points.

    :param env: the environment
    :param points: points of the goals, ``[G, d]``; those of the environment by default
    :return: the positions; None if the goals have neither 2D nor 3D positions
    """
    if points is None and env.has_wrapper_attr("achieved_goal_points"):
        points = np.asarray(env.get_wrapper_attr("achieved_goal_points"), dtype=np.float64)
    points = goal_points(env) if points is None else points
    if points is None:
        names = env.get_wrapper_attr("goal_names")
        located = goal_positions(DummyVecEnv([lambda: env]), names)
        if located is not None:
            return GoalPositions(*located)
        cells = cells_among(names)
        return _cell_positions(cells) if cells and list(cells) == list(range(len(cells))) else None
    if points.shape[1] not in (2, 3):
        return None
    is_flat = points.shape[1] == 2 or np.ptp(points[:, 2]) < 1e-6
    return GoalPositions(points[:, :2], ("x", "y"), None if is_flat else points[:, 2])


def cells_among(goal_names: Sequence[str]) -> dict[int, tuple[int, int]]:
    """
    Find the goals that are cells.

    :param goal_names: names of goals
    :return: row and column of each goal "cell/row,column", by its index

    Example::

        >>> cells_among(["near/red ball", "cell/3,4"])
        {1: (3, 4)}
    """
    matches = {index: _CELL.fullmatch(name) for index, name in enumerate(goal_names)}
    return {index: (int(match[1]), int(match[2])) for index, match in matches.items() if match}


def _cell_positions(cells: Mapping[int, tuple[int, int]]) -> GoalPositions:
    return GoalPositions(np.array([(column, row) for row, column in cells.values()], dtype=np.float64), ("column", "row"))


def goal_points(env: gym.Env[Any, Any]) -> FloatArray | None:
    """
    Read the goal points of an environment.

    :param env: a multi-goal environment
    :return: points of all goals, ``[G, d]``; None if it has none
    """
    points = env.get_wrapper_attr("goal_points") if env.has_wrapper_attr("goal_points") else None
    return None if points is None else np.asarray(points, dtype=np.float64)
