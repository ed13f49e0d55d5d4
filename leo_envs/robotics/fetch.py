"""The four tasks of the Fetch arm."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium.utils import EzPickle

from leo_envs.common.goal_box import GoalBox, Resolution
from leo_envs.common.robotics_extra import import_robotics
from leo_envs.robotics.base import RoboticsEnv
from leo_wrappers.validation import check_choice


class FetchTask(NamedTuple):
    """What tells the tasks apart."""

    module: str
    """Where Gymnasium-Robotics keeps the environment."""
    class_name: str
    """What it calls it."""
    resolution: tuple[int, int, int]
    """The points of the default grid along x, y and z."""


FETCH_TASKS = {
    "reach": FetchTask("gymnasium_robotics.envs.fetch.reach", "MujocoFetchReachEnv", (5, 5, 5)),
    "push": FetchTask("gymnasium_robotics.envs.fetch.push", "MujocoFetchPushEnv", (7, 7, 1)),
    "slide": FetchTask("gymnasium_robotics.envs.fetch.slide", "MujocoFetchSlideEnv", (9, 9, 1)),
    "pick_and_place": FetchTask("gymnasium_robotics.envs.fetch.pick_and_place", "MujocoFetchPickAndPlaceEnv", (5, 5, 4)),
}

TOP_HEIGHT = 0.45
"""How far above the table Gymnasium-Robotics draws goals for an object in the air, in metres."""


class FetchEnv(RoboticsEnv, EzPickle):
    """
    Gymnasium-Robotics' Fetch arm (``FetchReach-v4``, ``FetchPush-v4``, ``FetchSlide-v4``, ``FetchPickAndPlace-v4``) with a
    grid of goals over the space that it draws goals from.

    - **Actions**: ``Box(-1, 1, (4,))``: the gripper's displacement in x, y and z, and its fingers (blocked but for picking).
    - **Observation**: see :class:`~leo_envs.common.point_goal_env.PointGoalEnv`; ``achieved_goal`` is the gripper's place
      ("reach") or the object's.
    - **Goals**: "gripper/x+15,y-7.5,z+0" ("reach"), "table/x+15,y-10", and "air/x+15,y-10,z+30" ("pick_and_place"): in
      centimetres from where the gripper starts; heights of objects from where they rest on the table.
    - **Reward**: "sparse", or "dense": minus the distance.

    :param task: "reach", "push", "slide" or "pick_and_place"
    :param resolution: the points of the goal grid along each axis, one number or three; by the task when None
    :param points: goals at these points ``[G, 3]`` instead of a grid
    :param tolerance: the largest distance, in metres, that counts as reached
    :param reward_type: "sparse" or "dense"
    :param render_mode: "rgb_array", "human" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> env = gym.make("leo/FetchReach-v0", resolution=3)
        >>> observation, info = env.reset(seed=0)
        >>> sorted(observation), len(info["goals_achieved"]), env.unwrapped.goal_names[13]
        (['achieved_goal', 'desired_goal', 'observation'], 27, 'gripper/x+0,y+0,z+0')
        >>> bool(info["goals_achieved"][13])  # the gripper starts in the middle
        True
    """

    target_sites = ("target0",)

    def __init__(
        self,
        task: str = "reach",
        *,
        resolution: Resolution | None = None,
        points: npt.ArrayLike | None = None,
        tolerance: float = 0.05,
        reward_type: str = "sparse",
        render_mode: str | None = None,
    ) -> None:
        EzPickle.__init__(
            self,
            task,
            resolution=resolution,
            points=points,
            tolerance=tolerance,
            reward_type=reward_type,
            render_mode=render_mode,
        )
        check_choice("task", task, tuple(FETCH_TASKS))
        what = FETCH_TASKS[task]
        simulation = getattr(import_robotics(what.module), what.class_name)()
        goals = fetch_goal_box(simulation).goals(what.resolution if resolution is None else resolution, tolerance, points)
        super().__init__(simulation, goals, fps=25, reward_type=reward_type, render_mode=render_mode)
        self.task = task
        # The handle that drags the arm is drawn as three long lines through every picture.
        self.model.geom_rgba[self.model.geom_bodyid == self.model.body("robot0:mocap").id, 3] = 0.0


def fetch_goal_box(simulation: Any) -> GoalBox:
    """
    Where a Fetch environment draws its goals.

    :param simulation: the environment
    :return: the box
    """
    gripper = simulation.initial_gripper_xpos
    if not simulation.has_object:
        reach = simulation.target_range
        return GoalBox(gripper - reach, gripper + reach, origin=gripper, family="gripper")
    # Objects' goals lie on the table, whatever the gripper's height; some up in the air.
    origin = np.array([gripper[0], gripper[1], simulation.height_offset])
    middle = origin + simulation.target_offset * np.array([1.0, 1.0, 0.0])
    around = np.array([simulation.target_range, simulation.target_range, 0.0])
    top = np.array([0.0, 0.0, TOP_HEIGHT if simulation.target_in_the_air else 0.0])
    return GoalBox(middle - around, middle + around + top, origin=origin, family="air", ground="table")
