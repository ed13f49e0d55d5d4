"""Wrapper that reports the rewards of all tasks at every step of a vector environment."""

from copy import deepcopy
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import concatenate, create_empty_array, iterate

from leo_wrappers.goal_set import BoolArray
from leo_wrappers.infos import achieved_from_infos, final_infos
from leo_wrappers.keys import MASK_KEY, TASK_REWARDS_KEY
from leo_wrappers.tasks.task_set import TaskSet, Transition
from leo_wrappers.validation import check_env, check_instance

Step = tuple[Any, npt.NDArray[np.float64], BoolArray, BoolArray, dict[str, Any]]


class TaskVectorWrapper(VectorWrapper[Any, Any, Any, Any, Any]):
    """
    Wrapper that reports the rewards of a set of tasks at every step of N environments, see
    :class:`~leo_wrappers.tasks.TaskWrapper`.

    The functions of the tasks take all N transitions in one call. ``infos["task_rewards"]`` ``[N, K]`` belongs to the
    transitions, as the rewards do, also where an environment was reset in the same step.

    :param env: a vector environment with autoreset mode SAME_STEP and scalar rewards
    :param tasks: the tasks

    Example::

        >>> import gymnasium as gym, leo_envs, numpy as np
        >>> from leo_wrappers.tasks import FunctionTasks, Task
        >>> tasks = FunctionTasks([Task("stay", lambda t: t.goals_achieved[..., 0]), Task("wait", lambda t: -1.0)])
        >>> envs = gym.make_vec("leo/GridWorld-v0", num_envs=2, map="S..", autoreset_mode="SameStep")
        >>> envs = TaskVectorWrapper(envs, tasks)
        >>> obs, infos = envs.reset()
        >>> envs.step(np.array([1, 3]))[4]["task_rewards"]
        array([[ 0., -1.],
               [ 1., -1.]], dtype=float32)
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], tasks: TaskSet) -> None:
        check_env(env, (VectorEnv,))
        check_instance("tasks", tasks, TaskSet, "pass e.g. FunctionTasks([Task(name, reward)])")
        super().__init__(env)
        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise ValueError(
                f"expected a vector environment with autoreset_mode SAME_STEP, got {mode}; make it with "
                "autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP"
            )
        self.task_set = self.goal_set = tasks
        self.goal_points = None  # the goals of the wrapped environments are not those of this one
        self.goal_names = tasks.names
        self.task_discounts = tasks.discounts
        self.task_weights = tasks.weights
        self._observations: Any = None
        self._num_steps = np.zeros(env.num_envs, dtype=np.int64)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """
        Reset the environments; no task has ended.

        :param seed: seed of the environments
        :param options: options of the environments
        :return: observations and infos
        """
        obs, infos = self.env.reset(seed=seed, options=options)
        self._observations = deepcopy(obs)
        self._num_steps[:] = 0
        return obs, {**infos, **self._masks(np.zeros((self.num_envs, len(self.goal_names)), dtype=np.bool_))}

    def step(self, actions: Any) -> Step:
        """
        Step the environments and compute the rewards of all tasks.

        :param actions: one action per environment
        :return: observations, rewards, terminations, truncations and infos
        """
        obs, rewards, terminated, truncated, infos = self.env.step(actions)
        dones = terminated | truncated
        self._num_steps += 1
        masks = achieved_from_infos(infos, self.num_envs) if MASK_KEY in infos else None
        next_obs = self._with_final(obs, infos, dones)
        final_info = infos.get("final_info", {})
        transition = Transition(
            self._observations, actions, next_obs, rewards, terminated, masks, _of_transitions(infos, final_info, dones)
        )
        task_rewards, ended = self.task_set.evaluate(transition, self._num_steps)
        self._observations = deepcopy(obs)
        self._num_steps[dones] = 0
        reported = {TASK_REWARDS_KEY: task_rewards, f"_{TASK_REWARDS_KEY}": np.ones(self.num_envs, dtype=np.bool_)}
        # The masks of the next episodes, in which no task has ended yet.
        infos = {**infos, **self._masks(ended & ~dones[:, None]), **reported}
        if dones.any():
            final_masks = final_infos(dones, infos["final_obs"][dones], ended[dones])["final_info"]
            infos["final_info"] = {**final_info, **final_masks, TASK_REWARDS_KEY: task_rewards, f"_{TASK_REWARDS_KEY}": dones}
        return obs, rewards, terminated, truncated, infos

    def _masks(self, masks: BoolArray) -> dict[str, Any]:
        return {MASK_KEY: masks, f"_{MASK_KEY}": np.ones(self.num_envs, dtype=np.bool_)}

    def _with_final(self, obs: Any, infos: dict[str, Any], dones: BoolArray) -> Any:
        """Return the observations after the step and before any reset."""
        if not dones.any():
            return obs
        rows = list(iterate(self.observation_space, obs))
        for row in np.flatnonzero(dones):
            rows[row] = infos["final_obs"][row]
        empty: Any = create_empty_array(self.single_observation_space, len(rows))
        return concatenate(self.single_observation_space, rows, empty)


def _of_transitions(infos: dict[str, Any], final_info: dict[str, Any], dones: BoolArray) -> dict[str, Any]:
    """Return the infos with those of the terminal states instead of the resets."""
    result = {**final_info, **infos}
    for key in final_info.keys() & infos.keys():
        if isinstance(infos[key], np.ndarray):
            result[key] = infos[key].copy()
            result[key][dones] = final_info[key][dones]
    return result
