"""A functional environment whose observations reveal any mix-up in a batch: of episodes, steps or goals."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from leo_wrappers.jax_envs import BatchedEnv, BatchState, FunctionalEnv, Transition
from leo_wrappers.jax_envs.batch_functions import Observed


class WandererState(NamedTuple):
    """The state of :class:`Wanderer`."""

    reset_id: jax.Array
    position: jax.Array
    elapsed: jax.Array


@dataclass(frozen=True)
class Wanderer(FunctionalEnv):
    """
    Walker on a line from a random position with random wind to the left; leaving the left end terminates.

    The observation is a dictionary of a random number drawn at reset, and of position and step. Goal g is
    position g.

    :param length: number of positions
    :param time_limit: number of steps until truncation
    """

    length: int = 8
    time_limit: int = 12

    action_space = spaces.Discrete(2)

    @property
    def goal_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"position/{number}" for number in range(self.length))

    @property
    def observation_space(self) -> spaces.Dict:  # type: ignore[override]
        largest = np.iinfo(np.int32).max
        return spaces.Dict(
            {
                "reset_id": spaces.Box(0, largest, (1,), np.int32),
                "position_and_step": spaces.Box(-1, largest, (2,), np.int32),
            }
        )

    def reset(self, key: jax.Array) -> tuple[Any, Any, jax.Array]:
        reset_id = jax.random.randint(key, (), 0, np.iinfo(np.int32).max)
        # Tests compute the initial position from the id.
        state = WandererState(reset_id, reset_id % self.length, jnp.int32(0))
        return self.observe(state), state, self.achieved(state)

    def step(
        self, key: jax.Array, state: Any, action: jax.Array
    ) -> tuple[Any, Any, jax.Array, jax.Array, jax.Array, jax.Array]:
        wind = jax.random.bernoulli(key, 0.25).astype(jnp.int32)
        moved = jnp.minimum(state.position + 2 * action - 1 - wind, self.length - 1)
        terminated = moved < 0
        state = WandererState(state.reset_id, jnp.maximum(moved, -1), state.elapsed + 1)
        truncated = (state.elapsed >= self.time_limit) & ~terminated
        reward = state.position.astype(jnp.float32)
        return self.observe(state), state, reward, terminated, truncated, self.achieved(state)

    def observe(self, state: WandererState) -> dict[str, jax.Array]:
        return {"reset_id": state.reset_id[None], "position_and_step": jnp.stack([state.position, state.elapsed])}

    def achieved(self, state: WandererState) -> jax.Array:
        return jnp.arange(self.length) == state.position


def step_and_reset(envs: BatchedEnv, batch: BatchState, actions: Any) -> tuple[BatchState, Transition, Observed]:
    """Step a batch and start the next episode wherever one ended."""
    batch, transition = envs.step(batch, actions)
    batch, observed = envs.reset(batch, transition.dones, transition.observed)
    return batch, transition, observed
