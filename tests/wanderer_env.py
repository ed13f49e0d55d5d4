"""A functional environment that shows everything a batch could mix up: whose world it is, which step, which goals."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from leo_wrappers.jax_envs import FunctionalEnv


class WandererState(NamedTuple):
    """The state of :class:`Wanderer`."""

    world: jax.Array
    position: jax.Array
    elapsed: jax.Array


@dataclass(frozen=True)
class Wanderer(FunctionalEnv):
    """
    A walker on a line from a random position, blown about by a random wind; falling off the left end terminates.

    The observation is a dictionary: the world's own random number, and position and step. Goal g is position g.

    :param length: the number of positions
    :param time_limit: truncate after so many steps
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
                "world": spaces.Box(0, largest, (1,), np.int32),
                "place": spaces.Box(-1, largest, (2,), np.int32),
            }
        )

    def reset(self, key: jax.Array) -> tuple[Any, Any, jax.Array]:
        world = jax.random.randint(key, (), 0, np.iinfo(np.int32).max)
        # Of the world's number, so that a test can tell from a world alone where it must begin.
        state = WandererState(world, world % self.length, jnp.int32(0))
        return self.observe(state), state, self.achieved(state)

    def step(
        self, key: jax.Array, state: Any, action: jax.Array
    ) -> tuple[Any, Any, jax.Array, jax.Array, jax.Array, jax.Array]:
        wind = jax.random.bernoulli(key, 0.25).astype(jnp.int32)
        moved = jnp.minimum(state.position + 2 * action - 1 - wind, self.length - 1)
        terminated = moved < 0
        state = WandererState(state.world, jnp.maximum(moved, -1), state.elapsed + 1)
        truncated = (state.elapsed >= self.time_limit) & ~terminated
        reward = state.position.astype(jnp.float32)
        return self.observe(state), state, reward, terminated, truncated, self.achieved(state)

    def observe(self, state: WandererState) -> dict[str, jax.Array]:
        return {"world": state.world[None], "place": jnp.stack([state.position, state.elapsed])}

    def achieved(self, state: WandererState) -> jax.Array:
        return jnp.arange(self.length) == state.position
