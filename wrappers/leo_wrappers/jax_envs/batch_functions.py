"""The state of N parallel environments, and the compiled functions of :class:`BatchedEnv` that change it."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from leo_wrappers.jax_envs.compilation import DeviceFunction
from leo_wrappers.jax_envs.functional_env import FunctionalEnv, Tree


class InitialStates(NamedTuple):
    """Results of ``FunctionalEnv.reset`` for N environments."""

    obs: Tree
    state: Tree
    goals_achieved: jax.Array


class Observed(NamedTuple):
    """Current observations and masks of N environments."""

    obs: Tree
    goals_achieved: jax.Array


class BatchState(NamedTuple):
    """
    State of N environments: a JAX pytree that can be saved, copied or carried through a ``scan``.

    Each environment has a prepared initial state for its next episode; ``missing`` marks those already used.
    """

    keys: jax.Array
    episodes: jax.Array
    elapsed: jax.Array
    states: Tree
    prepared: InitialStates
    missing: jax.Array


class Transition(NamedTuple):
    """Result of a step of N environments, of terminal states where episodes ended and never of a later reset."""

    obs: Tree
    rewards: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    goals_achieved: jax.Array

    @property
    def dones(self) -> jax.Array:
        """Whether the episodes ended, ``[N]``."""
        return self.terminated | self.truncated

    @property
    def observed(self) -> Observed:
        """Observations and masks after the step, before any reset."""
        return Observed(self.obs, self.goals_achieved)


@partial(jax.jit, static_argnums=0)
def empty(env: FunctionalEnv, keys: jax.Array) -> BatchState:
    num_envs = len(keys)
    shapes = jax.eval_shape(env.reset, keys[0])
    zeros = InitialStates(*jax.tree.map(lambda leaf: jnp.zeros((num_envs, *leaf.shape), leaf.dtype), shapes))
    not_started = jnp.full(num_envs, -1, dtype=jnp.int32)
    return BatchState(keys, not_started, not_started, zeros.state, zeros, jnp.ones(num_envs, dtype=bool))


@jax.jit
def reseed(batch: BatchState, rows: jax.Array, keys: jax.Array) -> BatchState:
    # Initial states prepared with the old keys are invalid.
    return batch._replace(
        keys=jnp.where(rows[:, None], keys, batch.keys),
        episodes=jnp.where(rows, -1, batch.episodes),
        missing=batch.missing | rows,
    )


def _step_function(
    env: FunctionalEnv, keys: jax.Array, episodes: jax.Array, elapsed: jax.Array, states: Tree, actions: jax.Array
) -> tuple[Tree, jax.Array, Transition]:
    """Return the new states, the number of the step in each episode, and the transition."""
    elapsed = elapsed + 1
    keys = _fold(_fold(keys, episodes), elapsed)
    obs, states, rewards, terminated, truncated, achieved = jax.vmap(env.step)(keys, states, actions)
    return states, elapsed, Transition(obs, rewards, terminated, truncated, achieved)


step = DeviceFunction(_step_function, static_argnums=0, donate_argnums=4)


def _step_and_start_function(
    env: FunctionalEnv,
    keys: jax.Array,
    episodes: jax.Array,
    elapsed: jax.Array,
    states: Tree,
    actions: jax.Array,
    missing: jax.Array,
    prepared: InitialStates,
) -> tuple[Tree, jax.Array, jax.Array, jax.Array, Transition, Observed, jax.Array]:
    """
    Step, then start episodes as :func:`start_episodes` where one ended and an initial state is ready.

    :return: states, episodes, elapsed, missing, transition, current observations and masks, and in one array for the host,
        uint8 ``[N, 8 + 2 * ceil(G / 8)]``: reward, terminated, truncated, whether the reset is left to the host because no
        initial state was ready, missing, and the bit-packed masks before and after the resets
    """
    states, elapsed, transition = _step_function(env, keys, episodes, elapsed, states, actions)
    ready, late = transition.dones & ~missing, transition.dones & missing
    states, episodes, elapsed, missing, observed = _start_episodes_function(
        states, episodes, elapsed, missing, prepared, transition.observed, ready
    )
    flags = jnp.stack([transition.terminated, transition.truncated, late, missing], axis=1).astype(jnp.uint8)
    rewards = jax.lax.bitcast_convert_type(transition.rewards.astype(jnp.float32), jnp.uint8)
    masks = [jnp.packbits(part.goals_achieved, axis=1, bitorder="little") for part in (transition, observed)]
    return states, episodes, elapsed, missing, transition, observed, jnp.concatenate([rewards, flags, *masks], axis=1)


step_and_start = DeviceFunction(_step_and_start_function, static_argnums=0, donate_argnums=4)


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(4, 5))
def prepare_group(
    env: FunctionalEnv,
    group: int,
    keys: jax.Array,
    episodes: jax.Array,
    prepared: InitialStates,
    missing: jax.Array,
    requested: jax.Array,
) -> tuple[InitialStates, jax.Array]:
    """Prepare one group of initial states, requested ones first."""
    priorities, chosen = jax.lax.top_k(missing.astype(jnp.int32) + (missing & requested), group)
    # The group may be larger than the number of missing states: indices past the last row are dropped.
    rows = jnp.where(priorities > 0, chosen, len(requested))
    # Chosen rows that are not missing are dropped, so their episode number does not matter.
    numbers = episodes[chosen] + 1
    keys = _fold(_fold(keys[chosen], numbers), jnp.zeros(group, dtype=jnp.int32))
    new = InitialStates(*jax.vmap(env.reset)(keys))
    prepared = jax.tree.map(lambda old, new: old.at[rows].set(new, mode="drop"), prepared, new)
    return prepared, missing.at[rows].set(False, mode="drop")


def _start_episodes_function(
    states: Tree,
    episodes: jax.Array,
    elapsed: jax.Array,
    missing: jax.Array,
    prepared: InitialStates,
    observed: Observed,
    rows: jax.Array,
) -> tuple[Tree, jax.Array, jax.Array, jax.Array, Observed]:
    """Copy prepared initial states into the states and observations; they are not returned, which would double the cost."""
    new = (prepared.state, Observed(prepared.obs, prepared.goals_achieved))
    states, observed = _replace_rows(rows, (states, observed), new)
    return states, episodes + rows, jnp.where(rows, 0, elapsed), missing | rows, observed


start_episodes = jax.jit(_start_episodes_function, donate_argnums=(0, 1, 2, 3))


def _replace_rows(rows: jax.Array, old: Tree, new: Tree) -> Tree:
    """Replace rows of a tree by those of another."""
    return (_copy_rows if jax.default_backend() == "cpu" else _select_rows)(rows, old, new)


def _copy_rows(rows: jax.Array, old: Tree, new: Tree) -> Tree:
    """Replace rows one at a time, because episodes end rarely and states are large."""
    order = jnp.argsort(~rows)  # rows to replace come first

    def copy_one(number: jax.Array, tree: Tree) -> Tree:
        row = order[number]
        return jax.tree.map(lambda target, source: target.at[row].set(source[row]), tree, new)

    return jax.lax.fori_loop(0, rows.sum(), copy_one, old)


def _select_rows(rows: jax.Array, old: Tree, new: Tree) -> Tree:
    """Replace rows in one pass over all: a GPU, which has the bandwidth, would wait for the host after each row of a loop."""

    def select(target: jax.Array, source: jax.Array) -> jax.Array:
        return jnp.where(rows.reshape(-1, *[1] * (target.ndim - 1)), source, target)

    return jax.tree.map(select, old, new)


def _fold(keys: jax.Array, numbers: jax.Array) -> jax.Array:
    return jax.vmap(jax.random.fold_in)(keys, numbers)
