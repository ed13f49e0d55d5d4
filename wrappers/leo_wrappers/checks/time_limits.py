"""Time limits of environments, and a check that they truncate episodes instead of terminating them."""

from typing import Any

import gymnasium as gym
from gymnasium.wrappers import TimeLimit

# Attributes in which environments commonly store a time limit of their own.
LIMIT_ATTRIBUTES = ("max_episode_steps", "_max_episode_steps", "max_steps", "time_limit")
# Number of episodes that must all have the same length before it is taken for an undeclared time limit, and the least length.
MIN_EPISODES = 4
MIN_LENGTH = 3


def time_limit_wrappers(env: Any) -> list[TimeLimit[Any, Any]]:
    """
    Return the ``TimeLimit`` wrappers of an environment, outermost first.

    :param env: the environment
    """
    limits = []
    while isinstance(env, gym.Wrapper):
        if isinstance(env, TimeLimit):
            limits.append(env)
        env = env.env
    return limits


def declared_time_limits(env: Any) -> set[int]:
    """
    Return the time limits that an environment or vector environment declares.

    :param env: the environment
    """
    values = [getattr(getattr(env, "spec", None), "max_episode_steps", None)]
    values += [limit._max_episode_steps for limit in time_limit_wrappers(env)]
    values += [getattr(getattr(env, "unwrapped", env), name, None) for name in LIMIT_ATTRIBUTES]
    return {value for value in values if isinstance(value, int)}


class EpisodeLengthChecker:
    """
    Finds environments whose time limit terminates episodes instead of truncating them.

    :param limits: the declared time limits
    """

    def __init__(self, limits: set[int]) -> None:
        self._limits = limits
        self._lengths: list[int] = []
        self._was_truncated = False

    def record(self, length: int, truncated: bool) -> None:
        """
        Record the end of an episode.

        :param length: its number of steps
        :param truncated: whether it was truncated
        """
        self._lengths.append(length)
        self._was_truncated |= truncated

    def warning(self) -> str | None:
        """Return a warning if every episode that reached the longest length was terminated, and this looks like a limit."""
        if self._was_truncated or not self._lengths:
            return None
        longest = max(self._lengths)
        # More than one, because a state may be terminal by chance when the time limit is reached.
        is_declared = longest in self._limits and self._lengths.count(longest) > 1
        if not is_declared and (set(self._lengths) != {longest} or len(self._lengths) < MIN_EPISODES or longest < MIN_LENGTH):
            return None
        return (
            f"Expected a time limit to truncate episodes, got terminated=True and truncated=False after {longest} steps, "
            f"{'the declared time limit' if is_declared else f'in all {len(self._lengths)} episodes'}; return truncated=True "
            "there, because algorithms treat the value of a terminal state as 0."
        )
