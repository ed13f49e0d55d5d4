"""Wrapper that reports the rewards of all tasks at every step."""

from typing import Any

import gymnasium as gym
import numpy as np

from leo_wrappers.keys import MASK_KEY, TASK_REWARDS_KEY
from leo_wrappers.tasks.task_set import TaskSet, Transition
from leo_wrappers.validation import check_env, check_instance


class TaskWrapper(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """
    Wrapper that reports the rewards of a set of tasks at every step, as ``info["task_rewards"]``.

    The result is a multi-goal environment: ``goal_names`` are the names of the tasks, and ``info["goals_achieved"]`` marks the
    tasks that the step ends. So tasks are commanded, by name, as goals are. Observation, terminated and truncated are
    unchanged; of a vector reward the sum is returned, and the vector is ``info["vector_reward"]``.

    :param env: any Gymnasium environment; tasks can use the masks of a multi-goal one
    :param tasks: the tasks

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_wrappers.tasks import FunctionTasks, Task
        >>> tasks = FunctionTasks([Task("stay", lambda t: t.goals_achieved[..., 0]), Task("wait", lambda t: -1.0)])
        >>> env = TaskWrapper(gym.make("leo/GridWorld-v0", map="S.."), tasks)
        >>> obs, info = env.reset()
        >>> env.step(3)[4]["task_rewards"]
        array([ 1., -1.], dtype=float32)
    """

    def __init__(self, env: gym.Env[Any, Any], tasks: TaskSet) -> None:
        check_env(env)
        check_instance("tasks", tasks, TaskSet, "pass e.g. FunctionTasks([Task(name, reward)])")
        gym.utils.RecordConstructorArgs.__init__(self, _disable_deepcopy=True, tasks=tasks)
        gym.Wrapper.__init__(self, env)
        self.task_set = self.goal_set = tasks
        self.goal_points = None  # the goals of the wrapped environment are not those of this one
        self.goal_names = tasks.names
        self.task_discounts = tasks.discounts
        self.task_weights = tasks.weights
        self._observation: Any = None
        self._num_steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment; no task has ended."""
        self._observation, info = self.env.reset(seed=seed, options=options)
        self._num_steps = 0
        return self._observation, {**info, MASK_KEY: np.zeros(len(self.goal_names), dtype=np.bool_)}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step the environment and compute the rewards of all tasks."""
        before = self._observation
        obs, env_reward, terminated, truncated, info = self.env.step(action)
        self._observation = obs
        self._num_steps += 1
        reward = np.asarray(env_reward)
        transition = Transition(before, action, obs, reward, np.asarray(terminated), info.get(MASK_KEY), info)
        rewards, ended = self.task_set.evaluate(transition, self._num_steps)
        info = {**info, MASK_KEY: ended, TASK_REWARDS_KEY: rewards}
        if reward.ndim:
            info["vector_reward"] = reward
        return obs, float(reward.sum()), terminated, truncated, info

    def set_commanded_goal(self, goal_id: int | None) -> None:
        """
        Do nothing: the wrapped environment would show one of its goals.

        :param goal_id: the commanded task
        """
