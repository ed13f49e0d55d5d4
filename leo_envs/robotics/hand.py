"""Shadow hand whose fingers meet the thumb."""

from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.utils import EzPickle

from leo_envs.common.goal_box import Resolution, check_points, check_resolution, point_goals, spread
from leo_envs.common.robotics_extra import import_robotics
from leo_envs.common.target_site import move_site
from leo_envs.robotics.base import RoboticsEnv
from leo_wrappers import PointGoals
from leo_wrappers.goal_set import check_goal_count

FINGERS = ("first", "middle", "ring", "little")
THUMB = 4

MEETING_OFFSET = (0.0, -0.09, 0.05)
"""Mean meeting point of finger and thumb relative to the palm, in meters."""
MEETING_SPREAD = 0.005
"""Standard deviation of Gymnasium-Robotics' meeting points and half the width of the grid, in meters."""
APART = 0.005
"""Distance of each fingertip from the meeting point, in meters."""

# Upper bound of the distance between a fingertip and the palm, in meters.
_REACH = 0.3


class HandReachEnv(RoboticsEnv, EzPickle):
    """
    Gymnasium-Robotics' ``HandReach-v3`` with one goal per finger and meeting point with the thumb.

    - **Actions**: ``Box(-1, 1, (20,))``: positions of the joints.
    - **Observation**: see :class:`~leo_envs.common.point_goal_env.PointGoalEnv`; ``achieved_goal`` consists of the positions
      of the five fingertips, from the first finger to the thumb, ``(15,)``.
    - **Goals**: "rest/hand", all fingers at their start positions, and "first/x+5,y+0,z-5" (also "middle", "ring",
      "little"): the finger meets the thumb at this offset, in millimeters, from the mean meeting point, and the other
      fingers are at their start positions.
    - **Reward**: "sparse", or "dense" (minus the distance in all 15 coordinates).

    :param resolution: number of meeting points along x, y and z, one number or three
    :param points: goals at these points ``[G, 15]`` instead of a grid, named by their index
    :param tolerance: largest distance, in meters in all 15 coordinates, at which a goal counts as achieved
    :param reward_type: "sparse" or "dense"
    :param render_mode: "rgb_array", "human" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> env = gym.make("leo/HandReach-v0", resolution=1)
        >>> env.unwrapped.goal_names
        ('rest/hand', 'first/x+0,y+0,z+0', 'middle/x+0,y+0,z+0', 'ring/x+0,y+0,z+0', 'little/x+0,y+0,z+0')
    """

    target_sites = ("target0", "target1", "target2", "target3", "target4")

    def __init__(
        self,
        *,
        resolution: Resolution = 3,
        points: npt.ArrayLike | None = None,
        tolerance: float = 0.01,
        reward_type: str = "sparse",
        render_mode: str | None = None,
    ) -> None:
        EzPickle.__init__(
            self,
            resolution=resolution,
            points=points,
            tolerance=tolerance,
            reward_type=reward_type,
            render_mode=render_mode,
        )
        simulation = import_robotics("gymnasium_robotics.envs.shadow_dexterous_hand.reach").MujocoHandReachEnv()
        if points is None:
            goals = hand_goals(simulation.initial_goal, simulation.palm_xpos, resolution, tolerance)
        else:
            chosen = _checked_points(simulation.palm_xpos, points)
            goals = point_goals(chosen, tolerance, [f"point/{number}" for number in range(len(chosen))])
        super().__init__(simulation, goals, fps=25, reward_type=reward_type, render_mode=render_mode)

    def _show_target(self, point: npt.NDArray[np.float64]) -> None:
        super()._show_target(point)
        for number, tip in enumerate(np.asarray(self._raw["achieved_goal"]).reshape(-1, 3)):
            move_site(self.model, self.data, f"finger{number}", tip)


def hand_goals(rest: npt.NDArray[Any], palm: npt.NDArray[Any], resolution: Resolution, tolerance: float) -> PointGoals:
    """
    Create the goals of the hand: at rest, and one per finger and meeting point.

    :param rest: start positions of the fingertips ``[15]``
    :param palm: position of the palm ``[3]``
    :param resolution: number of meeting points along x, y and z
    :param tolerance: largest distance at which a goal counts as achieved
    :return: the goals
    """
    axes = [spread(-MEETING_SPREAD, MEETING_SPREAD, count) for count in check_resolution(resolution, 3)]
    check_goal_count(1 + len(FINGERS) * prod(map(len, axes)))
    points, names = [rest], ["rest/hand"]
    for finger, offset in product(range(len(FINGERS)), product(*axes)):
        tips = rest.reshape(-1, 3).copy()
        meeting = palm + np.array(MEETING_OFFSET) + np.array(offset)
        for tip in (finger, THUMB):
            away = tips[tip] - meeting
            tips[tip] = meeting + APART * away / np.linalg.norm(away)
        points.append(tips.reshape(-1))
        millimeters = np.round(np.array(offset) * 1000.0, 2) + 0.0
        names.append(f"{FINGERS[finger]}/" + ",".join(f"{axis}{x:+g}" for axis, x in zip("xyz", millimeters, strict=True)))
    return point_goals(np.array(points), tolerance, names)


def _checked_points(palm: npt.NDArray[Any], points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    result = check_points(points, 15)
    distances = np.linalg.norm(result.reshape(-1, 3) - palm, axis=1).reshape(-1, 5)
    if (distances > _REACH).any():
        row = int(np.argmax(distances.max(axis=1)))
        raise ValueError(
            f"expected goals within the hand's workspace, fingertips at most {_REACH} m from the palm at "
            f"{palm.round(3).tolist()}, got a distance of {distances[row].max():.2f} m in goal {row}; move it closer"
        )
    return result
