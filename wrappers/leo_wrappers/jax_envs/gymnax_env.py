"""Environments with gymnax's interface as functional environments."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from gymnasium import spaces

from leo_wrappers.goal_set import check_goal_names
from leo_wrappers.jax_envs.functional_env import FunctionalEnv, Tree


@dataclass(frozen=True, eq=False)
class GymnaxEnv(FunctionalEnv):
    """
    A gymnax-style environment and its goals.

    Only its ``reset_env`` and ``step_env`` are used; they reset nothing by themselves. Where a step returns a single ``done``,
    say which ends are only the time limit's: agents learn a wrong value from a time-out that passes for an end.

    :param env: an environment with ``reset_env(key, params)`` and ``step_env(key, state, action, params)``
    :param params: its parameters
    :param goal_names: unique names of the goals
    :param achieves: ``(observation, state) -> bool[G]``, which goals are achieved there
    :param observation_space: the space of the observations
    :param action_space: the space of the actions
    :param is_time_over: ``(state, params) -> bool``, whether the time limit has ended the episode; for environments whose step
        returns a single ``done``. One that returns ``terminated, truncated`` needs none.
    """

    env: Any
    params: Any
    goal_names: tuple[str, ...]
    achieves: Callable[[Tree, Tree], jax.Array]
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    is_time_over: Callable[[Tree, Any], jax.Array] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "goal_names", check_goal_names(self.goal_names))
        missing = [name for name in ("reset_env", "step_env") if not hasattr(self.env, name)]
        if missing:
            raise TypeError(
                f"expected an environment with reset_env and step_env, got {type(self.env).__name__} without {missing}"
            )

    def reset(self, key: jax.Array) -> tuple[Tree, Tree, jax.Array]:
        obs, state = self.env.reset_env(key, self.params)
        return obs, state, self.achieves(obs, state)

    def step(
        self, key: jax.Array, state: Tree, action: jax.Array
    ) -> tuple[Tree, Tree, jax.Array, jax.Array, jax.Array, jax.Array]:
        obs, state, reward, *ends, _ = self.env.step_env(key, state, action, self.params)
        if len(ends) == 2:
            terminated, truncated = (jnp.asarray(end, dtype=bool) for end in ends)
        else:
            done = jnp.asarray(ends[0], dtype=bool)
            over = self.is_time_over
            truncated = jnp.zeros_like(done) if over is None else done & over(state, self.params)
            terminated = done & ~truncated
        return obs, state, jnp.asarray(reward, dtype=jnp.float32), terminated, truncated, self.achieves(obs, state)
