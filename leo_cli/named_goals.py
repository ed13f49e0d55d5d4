"""Goals as the commands take and show them: one of a finite set, or a point."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from leo_agents.evaluation.goal_report import FloatArray
from leo_agents.evaluation.random_goals import point_names
from leo_cli.suggestions import find_goal


class NamedGoal(NamedTuple):
    """A goal that an agent is commanded, with the name that videos and messages show."""

    name: str
    target: str | FloatArray
    """The name, or the point ``[d]``."""


def find_named_goal(names: Sequence[str], points: FloatArray | None, text: str) -> NamedGoal:
    """
    Resolve a goal given on the command line.

    :param names: names of all goals of a finite set; of the evaluated ones if any point is a goal
    :param points: the evaluated goals ``[M, d]`` if any point is a goal; None for a finite set
    :param text: a name, an id of a finite set, or coordinates such as "1.3,0.7,0.5"
    :return: the goal

    Example::

        >>> find_named_goal(("goal/0,0", "goal/1,1"), np.array([[0.0, 0.0], [1.0, 1.0]]), "0.5,0.25")
        NamedGoal(name='goal/0.5,0.25', target=array([0.5 , 0.25]))
    """
    if points is None:
        name = find_goal(names, text)
        return NamedGoal(name, name)
    if text in names:
        return NamedGoal(text, points[list(names).index(text)])
    point = _parsed(points, text)
    _check_near(points, point)
    return NamedGoal(point_names(point[None])[0], point)


def _parsed(points: FloatArray, text: str) -> FloatArray:
    try:
        point = np.array([float(coordinate) for coordinate in text.split(",")])
    except ValueError:
        point = np.zeros(0)
    if len(point) != points.shape[1] or not np.isfinite(point).all():
        example = ",".join(f"{coordinate:.4g}" for coordinate in points[0])
        raise ValueError(
            f"expected a goal of {points.shape[1]} finite coordinates such as {example}, got {text!r}; any point is a goal of "
            "this run, and its goals have no other names and no ids"
        )
    return point


def _check_near(points: FloatArray, point: FloatArray) -> None:
    """Raise a ValueError for a point farther outside the box of the environment's goals than the box is wide."""
    low, high = points.min(axis=0), points.max(axis=0)
    margin = (high - low).max()
    if ((point < low - margin) | (point > high + margin)).any():
        raise ValueError(
            f"expected a goal near those of the environment, from {low.round(3).tolist()} to {high.round(3).tolist()}, got "
            f"{point.tolist()}; choose a point that the agent can have learned"
        )
