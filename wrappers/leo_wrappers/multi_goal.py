"""Wrapper that turns any Gymnasium environment into a multi-goal one."""

from collections.abc import Callable
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_wrappers.goal_set import BoolArray, GoalSet
from leo_wrappers.keys import GOAL_KEY, MASK_KEY
from leo_wrappers.validation import check_callable, check_env

GOAL_ENV_METHODS = ("compute_reward", "compute_terminated", "compute_truncated")


class MultiGoalWrapper(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """
    Wrapper that reports which goals of a set every reset and step achieved, as ``info["goals_achieved"]``.

    The mask is a new bool array ``[G]`` for the state of the returned observation: after the step, before any reset.
    Observation, reward, terminated and truncated are unchanged. If the environment already reports goals, they are replaced.

    :param env: any Gymnasium environment
    :param goals: the goals to test at every step
    :param signal: ``(observation, info) -> signal``, the part of the state that the goals are defined on; if None, the
        ``achieved_goal`` of goal environments, else the whole observation

    Example::

        >>> import gymnasium as gym
        >>> from leo_wrappers import MultiGoalWrapper, PredicateGoals
        >>> goals = PredicateGoals({"pole/left": lambda s: s[..., 2] < -0.05, "pole/right": lambda s: s[..., 2] > 0.05})
        >>> env = MultiGoalWrapper(gym.make("CartPole-v1"), goals)
        >>> obs, info = env.reset(seed=0)
        >>> info["goals_achieved"]
        array([False, False])
    """

    def __init__(
        self, env: gym.Env[Any, Any], goals: GoalSet, signal: Callable[[Any, dict[str, Any]], Any] | None = None
    ) -> None:
        check_env(env)
        if signal is not None:
            check_callable("signal", signal)
        gym.utils.RecordConstructorArgs.__init__(self, _disable_deepcopy=True, goals=goals, signal=signal)
        gym.Wrapper.__init__(self, env)
        if not isinstance(goals, GoalSet):
            raise TypeError(
                f"expected a GoalSet, got {type(goals).__name__}; build one with PointGoals, GridGoals, PredicateGoals"
            )
        self.goal_set = goals
        self.goal_names = goals.names
        self._signal = signal
        self._signal_key = _default_signal_key(env.observation_space, goals, signal)
        self._step_number = 0

    @property
    def goal_points(self) -> npt.NDArray[np.float32] | None:
        """The points of the goals ``[G, d]``, None if they are not points; unlike ``goal_set``, always picklable."""
        return self.goal_set.descriptors if self.goal_set.are_points else None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset the environment and test the goals on the first state."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._step_number = 0
        return obs, {**info, MASK_KEY: self.achieved(obs, info)}

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the environment and test the goals on the new state."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._step_number += 1
        return obs, reward, terminated, truncated, {**info, MASK_KEY: self.achieved(obs, info)}

    def __getattr__(self, name: str) -> Any:
        return goal_env_method(self, name)

    def achieved(self, obs: Any, info: dict[str, Any]) -> BoolArray:
        """
        Test the goals on what the wrapped environment returned.

        :param obs: its observation
        :param info: its info
        :return: the mask, bool ``[G]``
        """
        if self._signal is not None:
            signal = self._signal(obs, info)
        else:
            signal = obs if self._signal_key is None else obs[self._signal_key]
        try:
            return self.goal_set.achieved(signal)
        except ValueError as error:
            raise ValueError(f"{error} (at step {self._step_number} of the episode, where 0 is the reset)") from error


def goal_env_method(wrapper: gym.Wrapper[Any, Any, Any, Any], name: str) -> Any:
    """
    Forward the three methods of a GoalEnv to the wrapped environment; to be called by ``__getattr__`` of a wrapper.

    Gymnasium's wrappers do not forward attributes, but Stable-Baselines3 calls these on the outermost wrapper.

    :param wrapper: the wrapper
    :param name: name of the missing attribute
    :return: the method of the wrapped environment; any other name raises an AttributeError
    """
    if name in GOAL_ENV_METHODS:
        return wrapper.env.get_wrapper_attr(name)
    raise AttributeError(f"{type(wrapper).__name__!r} object has no attribute {name!r}")


def _default_signal_key(space: gym.Space[Any], goals: GoalSet, signal: Callable[..., Any] | None) -> str | None:
    """Return the observation key of the signal (None: the whole observation), and check the signal's shape."""
    if isinstance(space, spaces.Dict) and GOAL_KEY in space.spaces:
        raise ValueError(
            f"expected an environment without a commanded goal, got one whose observation has {GOAL_KEY!r}; "
            "apply MultiGoalWrapper before GoalConditionedWrapper"
        )
    if signal is not None:
        return None
    key = "achieved_goal" if isinstance(space, spaces.Dict) and "achieved_goal" in space.spaces else None
    source = space if key is None else space[key]  # type: ignore[index]
    shape = goals.signal_shape
    if shape is not None and source.shape is not None and source.shape[max(0, len(source.shape) - len(shape)) :] != shape:
        raise ValueError(
            f"expected a signal of shape {shape}, got {key or 'observations'} of shape {source.shape}; "
            "pass signal=lambda obs, info: ... to select the part of the state that the goals are defined on"
        )
    return key
