"""What an environment of pure JAX functions has to offer."""

from abc import ABC, abstractmethod
from typing import Any

import jax
from gymnasium import spaces

Tree = Any
"""Arrays, or any nesting of dicts, tuples and dataclasses of arrays that JAX knows."""


class FunctionalEnv(ABC):
    """
    One environment as two pure functions, which the batched environments vectorise and compile.

    Make it a frozen dataclass of its settings, so that equal environments share what was compiled for one of them.
    :class:`~leo_wrappers.jax_envs.BatchedEnv` resets what has ended; ``step`` must not.

    Example: a counter that can be told to reach any of its numbers.

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
        ...         return self._shown(jnp.int32(0))
        ...
        ...     def step(self, key, state, action):
        ...         obs, state, achieved = self._shown(jnp.minimum(state + action, 2))
        ...         return obs, state, jnp.float32(0), jnp.bool_(False), jnp.bool_(False), achieved
        ...
        ...     def _shown(self, state):
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

    # A subclass may also have a ``goal_set``, whose descriptors networks can take the goals by.

    observation_space: spaces.Space[Any]
    """The space of one environment's observations."""

    action_space: spaces.Space[Any]
    """The space of one environment's actions."""

    @abstractmethod
    def reset(self, key: jax.Array) -> tuple[Tree, Tree, jax.Array]:
        """
        Begin an episode.

        :param key: a random key, of this episode's start alone
        :return: the observation, the state, and which goals the state achieves, bool ``[G]``
        """

    @abstractmethod
    def step(
        self, key: jax.Array, state: Tree, action: jax.Array
    ) -> tuple[Tree, Tree, jax.Array, jax.Array, jax.Array, jax.Array]:
        """
        Take one step.

        :param key: a random key, of this step alone
        :param state: the state before
        :param action: the action
        :return: observation, state, reward, terminated, truncated, and which goals the new state achieves, bool ``[G]``
        """
