"""The four Fetch tasks of Gymnasium-Robotics."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium.utils import EzPickle

from leo_envs.common.goal_box import GoalBox, Resolution
from leo_envs.common.helper_goals import gripper_goals, make_helper_goals, wants_helpers
from leo_envs.common.point_goal_env import Array
from leo_envs.common.robotics_extra import import_robotics
from leo_envs.robotics.base import RoboticsEnv
from leo_wrappers.validation import check_choice


class FetchTask(NamedTuple):
    """Settings of a Fetch task."""

    module: str
    """Module of the original environment."""
    class_name: str
    """Class of the original environment."""
    resolution: tuple[int, int, int]
    """Number of points of the default goal grid along x, y and z."""


FETCH_TASKS = {
    "reach": FetchTask("gymnasium_robotics.envs.fetch.reach", "MujocoFetchReachEnv", (5, 5, 5)),
    "push": FetchTask("gymnasium_robotics.envs.fetch.push", "MujocoFetchPushEnv", (7, 7, 1)),
    "slide": FetchTask("gymnasium_robotics.envs.fetch.slide", "MujocoFetchSlideEnv", (9, 9, 1)),
    "pick_and_place": FetchTask("gymnasium_robotics.envs.fetch.pick_and_place", "MujocoFetchPickAndPlaceEnv", (5, 5, 4)),
}

HALF_EXTENT = 0.025
"""Half the size of the object, in meters."""

TOP_HEIGHT = 0.45
"""Largest height above the table, in meters, of the goals that Gymnasium-Robotics samples in the air."""


class FetchEnv(RoboticsEnv, EzPickle):
    """
    Gymnasium-Robotics' Fetch arm (``FetchReach-v4``, ``FetchPush-v4``, ``FetchSlide-v4``, ``FetchPickAndPlace-v4``) with a
    grid of goals over the original's goal space.

    - **Actions**: ``Box(-1, 1, (4,))``: displacement of the gripper in x, y and z, and its fingers (unused except in
      "pick_and_place").
    - **Observation**: see :class:`~leo_envs.common.point_goal_env.PointGoalEnv`; ``achieved_goal`` is the position of the
      gripper ("reach") or of the object.
    - **Goals**: "gripper/x+15,y-7.5,z+0" ("reach"), "table/x+15,y-10", and "air/x+15,y-10,z+30" ("pick_and_place"), in
      centimeters from the gripper's start position; an object's height is relative to its resting position on the table.
      Tasks with an object have helping goals, too: "gripper/..." as in "reach", "near/x-6,y+0,z+0" (the gripper beside the
      object, on this side of it) and "moving/x+" (the object moves in this direction).
    - **Reward**: "sparse", or "dense" (minus the distance).

    :param task: "reach", "push", "slide" or "pick_and_place"
    :param resolution: number of points of the goal grid along each axis, one number or three; default of the task when None
    :param points: goals at these points ``[G, 3]`` instead of a grid
    :param helper_goals: whether to add the helping goals; by default for tasks with an object, unless ``points`` are given
    :param tolerance: largest distance, in meters, at which a goal counts as achieved
    :param reward_type: "sparse" or "dense"
    :param render_mode: "rgb_array", "human" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> env = gym.make("leo/FetchReach-v0", resolution=3)
        >>> observation, info = env.reset(seed=0)
        >>> sorted(observation), len(info["goals_achieved"]), env.unwrapped.goal_names[13]
        (['achieved_goal', 'desired_goal', 'observation'], 27, 'gripper/x+0,y+0,z+0')
        >>> bool(info["goals_achieved"][13])  # the gripper starts in the center of the grid
        True
    """

    target_sites = ("target0",)

    def __init__(
        self,
        task: str = "reach",
        *,
        resolution: Resolution | None = None,
        points: npt.ArrayLike | None = None,
        helper_goals: bool | None = None,
        tolerance: float = 0.05,
        reward_type: str = "sparse",
        render_mode: str | None = None,
    ) -> None:
        EzPickle.__init__(
            self,
            task,
            resolution=resolution,
            points=points,
            helper_goals=helper_goals,
            tolerance=tolerance,
            reward_type=reward_type,
            render_mode=render_mode,
        )
        check_choice("task", task, tuple(FETCH_TASKS))
        settings = FETCH_TASKS[task]
        simulation = getattr(import_robotics(settings.module), settings.class_name)()
        goals = fetch_goal_box(simulation).goals(settings.resolution if resolution is None else resolution, tolerance, points)
        helpers = None
        if wants_helpers(helper_goals, task != "reach", points):
            grasps = not simulation.block_gripper
            gripper = gripper_goals(simulation.initial_gripper_xpos, tolerance, grasps)
            helpers = make_helper_goals(gripper, HALF_EXTENT, time_unit=simulation.dt, grasps=grasps)
        super().__init__(simulation, goals, helpers=helpers, fps=25, reward_type=reward_type, render_mode=render_mode)
        self.task = task
        # Hides the mocap body, which is rendered as three long lines across the scene.
        self.model.geom_rgba[self.model.geom_bodyid == self.model.body("robot0:mocap").id, 3] = 0.0

    def _gripper_and_velocity(self, observation: Array) -> tuple[Array, Array]:
        # The object's velocity is relative to the gripper's, both in meters per step.
        return observation[..., 0:3], observation[..., 14:17] + observation[..., 20:23]


def fetch_goal_box(simulation: Any) -> GoalBox:
    """
    Return the box from which a Fetch environment samples its goals.

    :param simulation: the original environment
    :return: the box
    """
    gripper = simulation.initial_gripper_xpos
    if not simulation.has_object:
        reach = simulation.target_range
        return GoalBox(gripper - reach, gripper + reach, origin=gripper, family="gripper")
    # Goals of objects start at the height of the table, not of the gripper.
    origin = np.array([gripper[0], gripper[1], simulation.height_offset])
    center = origin + simulation.target_offset * np.array([1.0, 1.0, 0.0])
    half_extent = np.array([simulation.target_range, simulation.target_range, 0.0])
    top = np.array([0.0, 0.0, TOP_HEIGHT if simulation.target_in_the_air else 0.0])
    return GoalBox(center - half_extent, center + half_extent + top, origin=origin, family="air", ground="table")
