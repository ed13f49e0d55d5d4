"""Goal environments without their finite goal set."""

from typing import Any

import gymnasium as gym
from gymnasium import spaces

from leo_wrappers.keys import ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY
from leo_wrappers.validation import check_env

_HIDDEN = ("goal_names", "goal_set", "goal_points", "set_commanded_goal")


class AnyGoalWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """
    Wrapper that hides the finite goal set of a goal environment: LEOTD3 and LEOSAC then take any point as a goal.

    Goal environments without a finite goal set, such as Gymnasium-Robotics' own, do not need it.

    :param env: an environment with ``achieved_goal``, ``desired_goal`` and ``compute_reward``

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> env = AnyGoalWrapper(gym.make("leo/FetchReach-v0"))
        >>> env.has_wrapper_attr("goal_names"), env.has_wrapper_attr("compute_reward")
        (False, True)
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        check_env(env)
        parts = env.observation_space.spaces if isinstance(env.observation_space, spaces.Dict) else {}
        missing = [key for key in (ACHIEVED_GOAL_KEY, DESIRED_GOAL_KEY) if key not in parts]
        if missing or not env.has_wrapper_attr("compute_reward"):
            what = f"observations without {missing}" if missing else "an environment without compute_reward"
            raise ValueError(f"expected a goal environment, got {what}; use LEOTD3 and LEOSAC with MultiGoalWrapper instead")
        super().__init__(env)

    def has_wrapper_attr(self, name: str) -> bool:
        """
        Return whether the environment has an attribute.

        :param name: name of the attribute
        :return: False for those of the goal set
        """
        return name not in _HIDDEN and super().has_wrapper_attr(name)

    def get_wrapper_attr(self, name: str) -> Any:
        """
        Return an attribute of the environment.

        :param name: name of the attribute
        :return: its value
        :raises AttributeError: for those of the goal set
        """
        if name in _HIDDEN:
            raise AttributeError(f"expected no finite goal set, asked for {name!r}; leave out AnyGoalWrapper")
        return super().get_wrapper_attr(name)
