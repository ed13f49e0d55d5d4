"""Interface of environments written as pure JAX functions."""

from abc import ABC, abstractmethod
from typing import Any

import jax
from gymnasium import spaces

from leo_wrappers.validation import check_instance

Tree = Any
"""A JAX pytree: an array, or any nesting of dicts, tuples and registered dataclasses of arrays."""


def check_functional_env(env: Any) -> None:
    """
    Raise a ``TypeError`` unless a value is a functional environment.

    :param env: the value
    """
    check_instance("env", env, FunctionalEnv, "pass an instance of a subclass, e.g. a GymnaxEnv")


class FunctionalEnv(ABC):
    """
    Environment of two pure functions, which are vectorized and compiled by the batched environments.

    Implement it as a frozen dataclass of its settings, so that equal environments share compiled functions.
    :class:`~leo_wrappers.jax_envs.BatchedEnv` resets finished environments; ``step`` must not.

    Example: a counter whose goals are its values.

        >>> import dataclasses
        >>> import jax.numpy as jnp
        >>> import numpy as np
        >>> @dataclasses.dataclass(frozen=True)
        ... class Counter(FunctionalEnv):
        ...     goal_names = ("count/0", "count/1", "count/2")
        ...     observation_space = spaces.Box(0, 2, (1,), np.int32)
        ...     action_space = spaces.Discrete(2)
        ...
        ...     def reset(self, key):
        ...         return self._outputs(jnp.int32(0))
        ...
        ...     def step(self, key, state, action):
        ...         obs, state, achieved = self._outputs(jnp.minimum(state + action, 2))
        ...         return obs, state, jnp.float32(0), jnp.bool_(False), jnp.bool_(False), achieved
        ...
        ...     def _outputs(self, state):
        ...         return state[None], state, jnp.arange(3) == state
        >>> JaxEnv = __import__("leo_wrappers.jax_envs", fromlist=["JaxEnv"]).JaxEnv
        >>> env = JaxEnv(Counter())
        >>> env.reset(seed=0)[1]["goals_achieved"]
        array([ True, False, False])
        >>> env.step(1)[0]
        array([1], dtype=int32)
    """

    goal_names: tuple[str, ...]
    """Unique names of the goals, in order."""

    # A subclass may also define ``goal_set``, whose descriptors are available to networks that take the goal as input.

    observation_space: spaces.Space[Any]
    """The observation space of a single environment."""

    action_space: spaces.Space[Any]
    """The action space of a single environment."""

    @abstractmethod
    def reset(self, key: jax.Array) -> tuple[Tree, Tree, jax.Array]:
        """
        Return the initial state of an episode.

        :param key: random key, used for this reset only
        :return: the observation, the state, and the mask of achieved goals, bool ``[G]``
        """

    @abstractmethod
    def step(
        self, key: jax.Array, state: Tree, action: jax.Array
    ) -> tuple[Tree, Tree, jax.Array, jax.Array, jax.Array, jax.Array]:
        """
        Compute one step.

        :param key: random key, used for this step only
        :param state: the current state
        :param action: the action
        :return: observation, next state, reward, terminated, truncated, and the mask of the next state, bool ``[G]``
        """
