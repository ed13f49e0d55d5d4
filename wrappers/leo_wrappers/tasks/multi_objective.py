"""Vector rewards, as in MO-Gymnasium, as tasks, and goals as vector rewards."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from leo_wrappers.keys import MASK_KEY, TASK_REWARDS_KEY
from leo_wrappers.tasks.known_rewards import RewardTasks
from leo_wrappers.tasks.preferences import PreferenceTasks, preference_grid
from leo_wrappers.tasks.task_set import FloatArray
from leo_wrappers.tasks.wrapper import TaskWrapper
from leo_wrappers.validation import check_env


def multi_objective_env(
    env: gym.Env[Any, Any],
    names: Sequence[str] | None = None,
    *,
    preferences: int | npt.ArrayLike | None = None,
    discount: float | None = None,
) -> TaskWrapper:
    """
    Convert an environment with vector rewards, such as those of MO-Gymnasium, to one with tasks.

    :param env: an environment with ``reward_space``
    :param names: a name for each entry of the reward; ``reward/0`` etc. if None
    :param preferences: weights of the entries ``[K, d]``, each of which becomes a task; a number for the
        :func:`preference_grid` of so many divisions; None for the entries themselves
    :param discount: discount factor; the ``gamma`` of the algorithm if None
    :return: the environment with tasks

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> two_goals = VectorRewardWrapper(gym.make("leo/GridWorld-v0", map="S."))  # an environment with two rewards
        >>> env = multi_objective_env(two_goals, ["here", "there"], preferences=2)
        >>> env.goal_names
        ('preference/0,1', 'preference/0.5,0.5', 'preference/1,0')
    """
    check_env(env)
    has_space = env.has_wrapper_attr("reward_space")
    shape: tuple[int, ...] = env.get_wrapper_attr("reward_space").shape if has_space else ()
    if len(shape) != 1:
        raise ValueError(
            "expected an environment with vector rewards and their reward_space, got one without; use TaskWrapper and "
            "FunctionTasks for others"
        )
    rewards = RewardTasks([f"reward/{number}" for number in range(shape[0])] if names is None else names, discount)
    if len(rewards) != shape[0]:
        raise ValueError(f"expected {shape[0]} names, one for each entry of the reward, got {len(rewards)}; see reward_space")
    if preferences is None:
        return TaskWrapper(env, rewards)
    if isinstance(preferences, int):
        preferences = preference_grid(len(rewards), preferences)
    return TaskWrapper(env, PreferenceTasks(rewards, preferences))


class VectorRewardWrapper(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """
    Wrapper with the reward that MO-Gymnasium and its algorithms expect: a vector with an entry for each goal.

    The reward is the mask of achieved goals, or, of an environment with tasks, the rewards of the tasks. ``reward_space`` is
    set on the unwrapped environment, where MO-Gymnasium's wrappers read it.

    :param env: a multi-goal environment

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> env = VectorRewardWrapper(gym.make("leo/GridWorld-v0", map="S.."))
        >>> obs, info = env.reset()
        >>> env.step(1)[1]
        array([0., 1., 0.], dtype=float32)
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        check_env(env)
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        if not env.has_wrapper_attr("goal_names"):
            raise ValueError(
                "expected a multi-goal environment, got one without goal_names; wrap it with MultiGoalWrapper or TaskWrapper"
            )
        shape = (len(env.get_wrapper_attr("goal_names")),)
        has_tasks = env.has_wrapper_attr("task_discounts")
        self.reward_space = gym.spaces.Box(*((-np.inf, np.inf) if has_tasks else (0.0, 1.0)), shape, np.float32)
        self.unwrapped.reward_space = self.reward_space  # type: ignore[attr-defined]

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment and return the rewards of all goals."""
        obs, _, terminated, truncated, info = self.env.step(action)
        reward: FloatArray = info.get(TASK_REWARDS_KEY, info[MASK_KEY]).astype(np.float32)
        return obs, reward, terminated, truncated, info
