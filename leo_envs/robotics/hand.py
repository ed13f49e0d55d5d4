"""The Shadow hand, whose fingertips shall meet."""

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.utils import EzPickle

from leo_envs.common.goal_box import Resolution, check_points, check_resolution, point_goals, spread
from leo_envs.common.robotics_extra import import_robotics
from leo_envs.common.target_site import move_site
from leo_envs.robotics.base import RoboticsEnv
from leo_wrappers import PointGoals

FINGERS = ("first", "middle", "ring", "little")
THUMB = 4

MEETING_OFFSET = (0.0, -0.09, 0.05)
"""Where finger and thumb meet, as seen from the palm, in metres."""
MEETING_SPREAD = 0.005
"""The standard deviation of the meeting points that Gymnasium-Robotics draws, in metres: the default grid's half width."""
APART = 0.005
"""How far each fingertip stays from the meeting point."""

# The largest distance, in metres, at which fingertips can be from the palm: no goal of a hand lies further out.
_REACH = 0.3


class HandReachEnv(RoboticsEnv, EzPickle):
    """
    Gymnasium-Robotics' ``HandReach-v3`` with a goal for each finger and place where it can meet the thumb.

    - **Actions**: ``Box(-1, 1, (20,))``: the joints' positions.
    - **Observation**: see :class:`~leo_envs.common.point_goal_env.PointGoalEnv`; ``achieved_goal`` is the places of the five
      fingertips, from the first finger to the thumb, in 15 numbers.
    - **Goals**: "rest/hand", all fingers as at the start, and "first/x+5,y+0,z-5" (also "middle", "ring", "little"): the
      finger meets the thumb there, in millimetres from the usual place. The other fingers stay as at the start.
    - **Reward**: "sparse", or "dense": minus the distance in all 15 coordinates.

    :param resolution: the meeting places along x, y and z, one number or three
    :param points: goals at these points ``[G, 15]`` instead, named by their number
    :param tolerance: the largest distance, in metres over all 15 coordinates, that counts as reached
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
    The goals of the hand.

    :param rest: the fingertips at the start ``[15]``
    :param palm: the palm's place ``[3]``
    :param resolution: the meeting places along x, y and z
    :param tolerance: the largest distance that counts as reached
    :return: the goals
    """
    axes = [spread(-MEETING_SPREAD, MEETING_SPREAD, count) for count in check_resolution(resolution, 3)]
    points, names = [rest], ["rest/hand"]
    for finger, offset in product(range(len(FINGERS)), product(*axes)):
        tips = rest.reshape(-1, 3).copy()
        meeting = palm + np.array(MEETING_OFFSET) + np.array(offset)
        for tip in (finger, THUMB):
            away = tips[tip] - meeting
            tips[tip] = meeting + APART * away / np.linalg.norm(away)
        points.append(tips.reshape(-1))
        millimetres = np.round(np.array(offset) * 1000.0, 2) + 0.0
        names.append(f"{FINGERS[finger]}/" + ",".join(f"{axis}{x:+g}" for axis, x in zip("xyz", millimetres, strict=True)))
    return point_goals(np.array(points), tolerance, names)


def _checked_points(palm: npt.NDArray[Any], points: npt.ArrayLike) -> npt.NDArray[np.float64]:
    result = check_points(points, 15)
    distances = np.linalg.norm(result.reshape(-1, 3) - palm, axis=1).reshape(-1, 5)
    if (distances > _REACH).any():
        row = int(np.argmax(distances.max(axis=1)))
        raise ValueError(
            f"expected goals within the hand's workspace, fingertips at most {_REACH} m from the palm at "
            f"{palm.round(3).tolist()}, got one {distances[row].max():.2f} m away in goal {row}; move it closer"
        )
    return result
