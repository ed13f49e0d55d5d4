"""Functional environment of an environment with gymnax's interface."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from gymnasium import spaces

from leo_wrappers.goal_set import check_goal_names
from leo_wrappers.jax_envs.functional_env import FunctionalEnv, Tree
from leo_wrappers.validation import check_callable, check_instance


@dataclass(frozen=True, eq=False)
class GymnaxEnv(FunctionalEnv):
    """
    Functional environment of a gymnax-style environment and its goals.

    Only ``reset_env`` and ``step_env`` are used, which do not auto-reset. If ``step_env`` returns a single ``done``, pass
    ``is_truncated``: otherwise time-outs count as terminal states, and agents learn wrong values for them.

    :param env: an environment with ``reset_env(key, params)`` and ``step_env(key, state, action, params)``
    :param params: its parameters
    :param goal_names: unique names of the goals
    :param achieves: ``(observation, state) -> bool[G]``, the mask of achieved goals
    :param observation_space: the observation space
    :param action_space: the action space
    :param is_truncated: ``(state, params) -> bool``, whether the time limit is reached; only for environments whose step
        returns a single ``done`` instead of ``terminated, truncated``
    """

    env: Any
    params: Any
    goal_names: tuple[str, ...]
    achieves: Callable[[Tree, Tree], jax.Array]
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    is_truncated: Callable[[Tree, Any], jax.Array] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "goal_names", check_goal_names(self.goal_names))
        check_callable("achieves", self.achieves)
        if self.is_truncated is not None:
            check_callable("is_truncated", self.is_truncated)
        for name in ("observation_space", "action_space"):
            check_instance(name, getattr(self, name), spaces.Space, "pass that of the environment")
        missing = [name for name in ("reset_env", "step_env") if not hasattr(self.env, name)]
        if missing:
            raise TypeError(
                f"expected an environment with reset_env and step_env, got {type(self.env).__name__} without {missing}; "
                "pass a gymnax-style environment, not its wrapper"
            )

    def reset(self, key: jax.Array) -> tuple[Tree, Tree, jax.Array]:
        obs, state = self.env.reset_env(key, self.params)
        return obs, state, self.achieves(obs, state)

    def step(
        self, key: jax.Array, state: Tree, action: jax.Array
    ) -> tuple[Tree, Tree, jax.Array, jax.Array, jax.Array, jax.Array]:
        obs, state, reward, *dones, _ = self.env.step_env(key, state, action, self.params)
        if len(dones) == 2:
            terminated, truncated = (jnp.asarray(done, dtype=bool) for done in dones)
        else:
            done = jnp.asarray(dones[0], dtype=bool)
            truncated = jnp.zeros_like(done) if self.is_truncated is None else done & self.is_truncated(state, self.params)
            terminated = done & ~truncated
        return obs, state, jnp.asarray(reward, dtype=jnp.float32), terminated, truncated, self.achieves(obs, state)
