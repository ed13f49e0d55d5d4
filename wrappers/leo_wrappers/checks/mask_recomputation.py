"""Recompute masks with the goal set of an environment."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Self, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from leo_wrappers.checks.errors import RunPosition
from leo_wrappers.goal_set import BoolArray, GoalSet
from leo_wrappers.multi_goal import MultiGoalWrapper

MaskFunction = Callable[[Any, dict[str, Any]], BoolArray]
"""``(observation, info) -> mask``."""
InstallEnv = Callable[[gym.Env[Any, Any]], None]
"""Replaces an environment with another one."""


class MaskRecomputation:
    """
    Computes the masks from what the environment below all wrappers that could change them returns.

    This detects delayed and changed masks without any repeated observation.

    :param env: the environment that returns the observation and info to compute the mask from
    :param install: replaces this environment with another one
    :param compute: computes the mask
    :param names: the goal names
    :param source: what computes the mask, for the error message
    """

    def __init__(
        self, env: gym.Env[Any, Any], install: InstallEnv, compute: MaskFunction, names: tuple[str, ...], source: str
    ) -> None:
        self.compute = compute
        self.expected: list[BoolArray] = []
        """The masks of all resets and steps of the last :meth:`recording`, in order."""
        self._env, self._install, self._names, self._source = env, install, names, source

    @classmethod
    def find(cls, env: gym.Env[Any, Any], names: tuple[str, ...], install: InstallEnv) -> Self | None:
        """
        Return the recomputation for the outermost ``MultiGoalWrapper``, else for the environment below all wrappers.

        :param env: the environment
        :param names: its goal names
        :param install: replaces ``env`` with another environment
        :return: None if neither has a goal set with these names
        """
        while isinstance(env, gym.Wrapper) and not isinstance(env, MultiGoalWrapper):
            install, env = partial(setattr, env, "env"), env.env
        if isinstance(env, MultiGoalWrapper):
            if env.goal_names != names:
                return None
            # The base class's method, because a subclass may override it with a fault.
            compute: MaskFunction | None = partial(MultiGoalWrapper.achieved, env)
            source, install, env = "MultiGoalWrapper", partial(setattr, env, "env"), env.env
        else:
            compute, source = find_mask_function(env, env.observation_space, names), type(env).__name__
        return None if compute is None else cls(env, install, compute, names, source)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Compute the expected mask of every reset and step within the context."""
        self.expected = []
        self._install(_Recorder(self._env, self))
        try:
            yield
        finally:
            self._install(self._env)

    def check(self, mask: BoolArray, position: RunPosition, number: int = -1) -> None:
        """
        Raise if a returned mask is not the expected one.

        :param mask: the mask, bool ``[G]``
        :param position: where in the run, for the error message
        :param number: index of the expected mask in the last recording; without such a mask, nothing is checked
        """
        if -len(self.expected) <= number < len(self.expected):
            check_recomputed_mask(self.expected[number], mask, self._names, self._source, position)


def find_mask_function(env: Any, space: gym.Space[Any], names: tuple[str, ...]) -> MaskFunction | None:
    """
    Return a function that computes the mask from an observation, by the goal set of an environment without wrappers.

    The goal set is tested on ``env.goal_signal(observation, info)`` if there is this method, else on the observation's
    ``achieved_goal`` if it has the shape of the goal set's signal.

    :param env: an environment, or a vector environment with these goals in all rows
    :param space: the observation space of a single environment
    :param names: the goal names
    :return: None if there is no such goal set or no signal
    """
    goal_set = getattr(env, "goal_set", None)
    if not isinstance(goal_set, GoalSet) or goal_set.names != names:
        return None
    if callable(getattr(env, "goal_signal", None)):
        return lambda observation, info: goal_set.achieved(env.goal_signal(observation, info))
    achieved_goal = space.spaces.get("achieved_goal") if isinstance(space, spaces.Dict) else None
    if achieved_goal is None or goal_set.signal_shape is None or achieved_goal.shape != goal_set.signal_shape:
        return None
    return lambda observation, info: goal_set.achieved(observation["achieved_goal"])


def check_recomputed_mask(
    wanted: BoolArray, mask: BoolArray, names: tuple[str, ...], source: str, position: RunPosition
) -> None:
    """
    Raise if a returned mask is not the recomputed one.

    :param wanted: the recomputed mask, bool ``[G]``
    :param mask: the returned mask, bool ``[G]``
    :param names: the goal names
    :param source: what computed the mask
    :param position: where in the run, for the error message
    """
    if not np.array_equal(wanted, mask):
        raise position.mask_error(
            names,
            wanted,
            mask,
            f"the mask of the state after the step, as the goal set of {source} computes it",
            "compute the mask after the step and return it unchanged from subclasses and wrappers, "
            "or pass observation_determines_mask=False if the goals depend on the history of the episode",
        )


class _Recorder(gym.Wrapper[Any, Any, Any, Any]):
    """Computes the mask of every reset and step for a :class:`MaskRecomputation`."""

    def __init__(self, env: gym.Env[Any, Any], recomputation: MaskRecomputation) -> None:
        super().__init__(env)
        self._recomputation = recomputation

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._record(observation, info)
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        result = self.env.step(action)
        self._record(result[0], result[4])
        return result

    def _record(self, observation: Any, info: dict[str, Any]) -> None:
        self._recomputation.expected.append(self._recomputation.compute(observation, info))

    def __getattr__(self, name: str) -> Any:
        if name == "env" or name.startswith("__"):  # asked for by copy and pickle before there is an environment
            raise AttributeError(name)
        return getattr(self.env, name)
