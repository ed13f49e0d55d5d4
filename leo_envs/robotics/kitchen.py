"""A Franka arm in a kitchen with seven things to do."""

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
    One goal for each of several tasks that can be complete or not, also several at once.

    A signal has a number for each task, 1 where it is complete. A point asks for the tasks at its ones, and is reached where
    all of these are complete; asking for none is never reached, so that doing nothing cannot be relabelled as a success.

    :param tasks: what the tasks are called
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        names = [f"task/{task}" for task in tasks]
        super().__init__(names, descriptors=np.eye(len(names)), signal_shape=(len(names),))

    @property
    def are_points(self) -> bool:
        """True: tasks may be asked for in any combination."""
        return True

    def reaches(self, signal: npt.ArrayLike, point: npt.ArrayLike) -> BoolArray:
        """Whether all tasks that each point asks for are complete in the signal beside it."""
        complete, wanted = np.asarray(signal) > 0.5, np.asarray(point) > 0.5
        return np.asarray((complete | ~wanted).all(axis=-1) & wanted.any(axis=-1))

    def _test(self, signal: npt.NDArray[Any]) -> BoolArray:
        return np.asarray(signal > 0.5)


class FrankaKitchenEnv(RoboticsEnv, EzPickle):
    """
    Gymnasium-Robotics' ``FrankaKitchen-v1`` with a goal for each task.

    - **Actions**: ``Box(-1, 1, (9,))``: the joints' velocities.
    - **Observation**: see :class:`~leo_envs.common.point_goal_env.PointGoalEnv`; ``achieved_goal`` has a number for each task,
      1 where the kitchen's state is within ``tolerance`` of complete, and ``desired_goal`` a 1 for each task asked for. Each
      episode asks for one, drawn at random.
    - **Goals**: "task/microwave", "task/kettle", ...: complete in this very state, whatever happened before.
    - **Reward**: 0.0 where all tasks asked for are complete, -1.0 elsewhere. There is no dense one.

    :param tasks: which tasks are goals, of :data:`KITCHEN_TASKS`; all seven when None
    :param tolerance: a task is complete below this distance of its joints from where they shall be
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
            raise ValueError("expected reward_type 'sparse', got 'dense': the kitchen's tasks are complete or not; drop it")
        unknown = [task for task in self.tasks if task not in KITCHEN_TASKS]
        if unknown:
            raise ValueError(f"expected tasks among {list(KITCHEN_TASKS)}, got {unknown}; choose some of these")
        self.tolerance = check_tolerance(tolerance)
        kitchen = import_robotics("gymnasium_robotics.envs.franka_kitchen.kitchen_env")
        self._places = [(kitchen.OBS_ELEMENT_INDICES[task], kitchen.OBS_ELEMENT_GOALS[task]) for task in self.tasks]
        simulation = kitchen.KitchenEnv(terminate_on_tasks_completed=False, remove_task_when_completed=False)
        fps = round(1.0 / simulation.robot_env.dt)
        super().__init__(simulation, TaskGoals(self.tasks), fps=fps, reward_type=reward_type, render_mode=render_mode)
        for key in ("achieved_goal", "desired_goal"):
            self.observation_space[key] = spaces.Box(0.0, 1.0, (len(self.tasks),), np.float32)

    @property
    def _renderer(self) -> Any:
        return self.simulation.robot_env.mujoco_renderer

    def _begin(self, seed: int | None, options: dict[str, Any]) -> npt.ArrayLike:
        super()._begin(seed, options)
        return self.goal_points[self.np_random.integers(len(self.tasks))]

    def _state(self) -> tuple[npt.ArrayLike, npt.ArrayLike]:
        positions = self.data.qpos
        distances = [np.linalg.norm(positions[indices] - place) for indices, place in self._places]
        return self._raw["observation"], np.array(distances) < self.tolerance

    def _show_target(self, point: npt.NDArray[np.float64]) -> None:
        """The kitchen has no mark for what is asked for."""
