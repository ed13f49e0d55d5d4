"""Franka arm in a kitchen with seven tasks."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.utils import EzPickle

from leo_envs.common.goal_box import check_tolerance
from leo_envs.common.robotics_extra import import_robotics
from leo_envs.robotics.base import RoboticsEnv
from leo_wrappers import GoalSet
from leo_wrappers.goal_set import BoolArray, check_goal_names

KITCHEN_TASKS = (
    "bottom burner",
    "top burner",
    "light switch",
    "slide cabinet",
    "hinge cabinet",
    "microwave",
    "kettle",
)


class TaskGoals(GoalSet):
    """
    Goal set with one goal per task.

    The signal has one entry per task, 1 if the task is complete. A point has a 1 for each required task and is achieved if
    all of them are complete. A point without required tasks is never achieved, so that relabeling cannot turn inaction into
    success.

    :param tasks: names of the tasks
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        names = [f"task/{task}" for task in tasks]
        super().__init__(names, descriptors=np.eye(len(names)), signal_shape=(len(names),))

    @property
    def are_points(self) -> bool:
        """True: any combination of tasks is a valid point."""
        return True

    def reaches(self, signal: npt.ArrayLike, point: npt.ArrayLike) -> BoolArray:
        """Return whether all required tasks of each point are complete in its signal."""
        complete, required = np.asarray(signal) > 0.5, np.asarray(point) > 0.5
        return np.asarray((complete | ~required).all(axis=-1) & required.any(axis=-1))

    def _test(self, signal: npt.NDArray[Any]) -> BoolArray:
        return np.asarray(signal > 0.5)


class FrankaKitchenEnv(RoboticsEnv, EzPickle):
    """
    Gymnasium-Robotics' ``FrankaKitchen-v1`` with one goal per task.

    - **Actions**: ``Box(-1, 1, (9,))``: velocities of the joints.
    - **Observation**: see :class:`~leo_envs.common.point_goal_env.PointGoalEnv`; ``achieved_goal`` has one entry per task, 1
      if it is complete, and ``desired_goal`` a 1 for each required task. One random task is required per episode.
    - **Goals**: "task/microwave", "task/kettle", ...: achieved if the task is complete in the current state, regardless of
      earlier states.
    - **Reward**: 0.0 if all required tasks are complete, else -1.0. There is no dense reward.

    :param tasks: tasks that are goals, a subset of :data:`KITCHEN_TASKS`; all seven when None
    :param tolerance: a task is complete if its joints are closer than this to their target positions
    :param reward_type: "sparse"
    :param render_mode: "rgb_array", "human" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> env = gym.make("leo/FrankaKitchen-v0", tasks=["microwave", "kettle"])
        >>> observation, info = env.reset(seed=0)
        >>> env.unwrapped.goal_names, observation["achieved_goal"], info["goals_achieved"]
        (('task/microwave', 'task/kettle'), array([0., 0.], dtype=float32), array([False, False]))
    """

    def __init__(
        self,
        *,
        tasks: Iterable[str] | None = None,
        tolerance: float = 0.3,
        reward_type: str = "sparse",
        render_mode: str | None = None,
    ) -> None:
        self.tasks = KITCHEN_TASKS if tasks is None else check_goal_names(tasks)
        EzPickle.__init__(self, tasks=self.tasks, tolerance=tolerance, reward_type=reward_type, render_mode=render_mode)
        if reward_type == "dense":
            raise ValueError("expected reward_type 'sparse', got 'dense', which kitchen tasks do not have; omit reward_type")
        unknown = [task for task in self.tasks if task not in KITCHEN_TASKS]
        if unknown:
            raise ValueError(f"expected tasks among {list(KITCHEN_TASKS)}, got {unknown}; choose from these")
        self.tolerance = check_tolerance(tolerance)
        kitchen = import_robotics("gymnasium_robotics.envs.franka_kitchen.kitchen_env")
        self._task_joints = [(kitchen.OBS_ELEMENT_INDICES[task], kitchen.OBS_ELEMENT_GOALS[task]) for task in self.tasks]
        simulation = kitchen.KitchenEnv(terminate_on_tasks_completed=False, remove_task_when_completed=False)
        fps = round(1.0 / simulation.robot_env.dt)
        super().__init__(simulation, TaskGoals(self.tasks), fps=fps, reward_type=reward_type, render_mode=render_mode)
        for key in ("achieved_goal", "desired_goal"):
            self.observation_space[key] = spaces.Box(0.0, 1.0, (len(self.tasks),), np.float32)

    @property
    def _renderer(self) -> Any:
        return self.simulation.robot_env.mujoco_renderer

    def _reset_simulation(self, seed: int | None, options: dict[str, Any]) -> npt.ArrayLike:
        super()._reset_simulation(seed, options)
        return self.goal_set.descriptors[self.np_random.integers(len(self.tasks))]

    def _state(self) -> tuple[npt.ArrayLike, npt.ArrayLike]:
        positions = self.data.qpos
        distances = [np.linalg.norm(positions[indices] - target) for indices, target in self._task_joints]
        return self._raw["observation"], np.array(distances) < self.tolerance

    def _show_target(self, point: npt.NDArray[np.float64]) -> None:
        """Do nothing: the kitchen has no markers."""
