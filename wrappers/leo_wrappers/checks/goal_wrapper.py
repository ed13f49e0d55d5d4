"""Recompute the masks of environments that contain a ``MultiGoalWrapper``."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np

from leo_wrappers.checks.errors import RunPosition
from leo_wrappers.goal_set import BoolArray
from leo_wrappers.multi_goal import MultiGoalWrapper


class MaskRecomputation:
    """
    Computes the mask from the observation and info that the environment below a ``MultiGoalWrapper`` returned last.

    This detects masks that a subclass or a wrapper around it delays or changes, without any repeated observation.

    :param wrapper: the wrapper
    """

    def __init__(self, wrapper: MultiGoalWrapper) -> None:
        self.wrapper = wrapper
        self.expected: BoolArray | None = None
        """The mask of the state that was returned last; None if the environment was not called."""

    @classmethod
    def find(cls, env: gym.Env[Any, Any], names: tuple[str, ...]) -> "MaskRecomputation | None":
        """
        Return the recomputation for the outermost ``MultiGoalWrapper`` in an environment.

        :param env: the environment
        :param names: its goal names
        :return: None if there is no such wrapper, or if it has other goals than the environment
        """
        while isinstance(env, gym.Wrapper) and not isinstance(env, MultiGoalWrapper):
            env = env.env
        return cls(env) if isinstance(env, MultiGoalWrapper) and env.goal_names == names else None

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Compute the expected mask of every reset and step within the context."""
        inner, self.expected = self.wrapper.env, None
        self.wrapper.env = _Recorder(inner, self)
        try:
            yield
        finally:
            self.wrapper.env = inner

    def compute(self, observation: Any, info: dict[str, Any]) -> None:
        """
        Compute the expected mask; by the base class's method, because a subclass may override it with a fault.

        :param observation: what the environment below the wrapper returned
        :param info: what the environment below the wrapper returned
        """
        self.expected = MultiGoalWrapper._achieved(self.wrapper, observation, info)

    def check(self, mask: BoolArray, position: RunPosition) -> None:
        """
        Raise if a returned mask is not the expected one.

        :param mask: the mask, bool ``[G]``
        :param position: where in the run, for the error message
        """
        if self.expected is not None and not np.array_equal(self.expected, mask):
            raise position.mask_error(
                self.wrapper.goal_names,
                self.expected,
                mask,
                "the mask of the state after the step, as the goal set of MultiGoalWrapper computes it",
                "return the mask of the same step unchanged from subclasses of MultiGoalWrapper and from wrappers around it, "
                "or pass observation_determines_mask=False if its signal depends on the history of the episode",
            )


class _Recorder(gym.Wrapper[Any, Any, Any, Any]):
    """Passes every observation and info to a :class:`MaskRecomputation`."""

    def __init__(self, env: gym.Env[Any, Any], recomputation: MaskRecomputation) -> None:
        super().__init__(env)
        self._recomputation = recomputation

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._recomputation.compute(observation, info)
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        result = self.env.step(action)
        self._recomputation.compute(result[0], result[4])
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)
