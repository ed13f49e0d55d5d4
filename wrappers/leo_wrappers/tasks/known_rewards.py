"""Tasks whose rewards an environment reports already: goals and vector rewards."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from leo_wrappers.goal_set import check_goal_names
from leo_wrappers.tasks.task_set import TaskSet, TaskStep, Transition


class GoalTasks(TaskSet):
    """
    The goals of a multi-goal environment as tasks: reward 1 for achieving the goal, which ends the task.

    :param names: the goal names of the environment, in order
    :param discount: discount factor of all tasks; the ``gamma`` of the algorithm if None
    """

    def __init__(self, names: Iterable[str], discount: float | None = None) -> None:
        names = check_goal_names(names)
        super().__init__(names, [discount] * len(names))

    def evaluate(self, transition: Transition, steps: npt.ArrayLike | None = None) -> TaskStep:
        """Return the masks."""
        mask = transition.goals_achieved
        if mask is None or mask.shape[-1] != len(self):
            raise ValueError(
                f"expected an environment with {len(self)} goals, got {'none' if mask is None else mask.shape[-1]}; create "
                "GoalTasks with the goal_names of the environment"
            )
        return self._checked_step(mask, mask, steps)


class RewardTasks(TaskSet):
    """
    The entries of a vector reward as tasks, which never end; see :func:`multi_objective_env`.

    :param names: a name for each entry of the reward
    :param discount: discount factor of all tasks; the ``gamma`` of the algorithm if None
    """

    def __init__(self, names: Iterable[str], discount: float | None = None) -> None:
        names = check_goal_names(names, kind="task")
        super().__init__(names, [discount] * len(names))

    def evaluate(self, transition: Transition, steps: npt.ArrayLike | None = None) -> TaskStep:
        """Return the rewards of the environment."""
        expected = (*np.shape(transition.terminated), len(self))
        if np.shape(transition.reward) != expected:
            raise ValueError(
                f"expected rewards of the environment of shape {expected}, got {np.shape(transition.reward)}; name each entry "
                "of its vector reward"
            )
        return self._checked_step(transition.reward, np.zeros(expected), steps)
