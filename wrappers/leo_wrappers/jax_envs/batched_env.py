"""Many copies of one functional environment: step, masks, terminal observations and resets in one compiled function."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from leo_wrappers.jax_envs.arrays import to_actions
from leo_wrappers.jax_envs.functional_env import FunctionalEnv, Tree
from leo_wrappers.validation import check_num_envs

# Fresh worlds are made in groups: one alone costs several times its share of a group, and more than this gains nothing.
WORLDS_PER_GROUP = 16


class Beginning(NamedTuple):
    """How an episode begins: observation, state and mask."""

    obs: Tree
    state: Tree
    goals_achieved: jax.Array


class BatchState(NamedTuple):
    """
    Everything about N environments; a value like any other in JAX, to be saved, copied or carried through a ``scan``.

    Every environment has one spare beginning ready for its next episode. ``missing`` tells whose has been used.
    """

    keys: jax.Array
    episodes: jax.Array
    elapsed: jax.Array
    states: Tree
    spares: Beginning
    missing: jax.Array


class Transition(NamedTuple):
    """What a step of N environments brought, terminal observations and masks included: nothing here is of a later reset."""

    obs: Tree
    rewards: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    goals_achieved: jax.Array

    @property
    def ended(self) -> jax.Array:
        """Whether the episodes are over, ``[N]``."""
        return self.terminated | self.truncated

    @property
    def shown(self) -> Beginning:
        """What the environments show as long as none is reset."""
        return Beginning(self.obs, None, self.goals_achieved)


class BatchedEnv:
    """
    N copies of a functional environment as pure functions of a :class:`BatchState`.

    Environment i with key k takes the same trajectory whatever the others do, however many they are, and whenever it is
    reset: the key of every world and of every step follows from its own key, the episode's number and the step's.
    Worlds for the next episodes are made in groups ahead of time, a group at a time while enough are at hand; when more
    environments end than have one, more are made on the spot.

    :param env: the environment
    :param num_envs: N

    Example::

        >>> import jax
        >>> from leo_envs.craftax import CraftaxClassic
        >>> envs = BatchedEnv(CraftaxClassic(), num_envs=2)
        >>> batch, now = envs.reset(envs.empty(envs.keys([0, 1])), jax.numpy.array([True, True]))
        >>> batch, transition, now = envs.step(batch, jax.numpy.array([0, 1]))
        >>> transition.goals_achieved.shape
        (2, 136)
    """

    def __init__(self, env: FunctionalEnv, num_envs: int) -> None:
        self.env = env
        self.num_envs = check_num_envs(num_envs)
        self._group = min(self.num_envs, WORLDS_PER_GROUP)

    def keys(self, seeds: list[int]) -> jax.Array:
        """
        :param seeds: one for each environment, taken modulo 2 ** 32
        :return: their random keys
        """
        return jax.vmap(jax.random.PRNGKey)(jnp.array([seed % 2**32 for seed in seeds], dtype=jnp.uint32))

    def compile(self) -> None:
        """Compile :meth:`reset` and :meth:`step_only` now instead of at their first use."""
        # One row is missing a spare, so one group of worlds is made and no more.
        first = np.arange(self.num_envs) == 0
        batch = self.empty(self.keys([0] * self.num_envs))._replace(missing=jnp.asarray(first))
        batch, _ = self.reset(batch, first)
        space = self.env.action_space
        actions = to_actions(space, np.zeros((self.num_envs, *(space.shape or ()))))
        self.step_only(batch, actions)[0].elapsed.block_until_ready()

    def empty(self, keys: jax.Array) -> BatchState:
        """
        A batch in which no episode has begun: reset all of it before anything else.

        :param keys: a random key for each environment
        :return: the batch
        """
        return _empty(self.env, keys)

    def reseed(self, batch: BatchState, rows: ArrayLike, keys: jax.Array) -> BatchState:
        """
        Give some environments new keys, as if they had never begun: reset them next.

        :param batch: the batch
        :param rows: which environments, bool ``[N]``
        :param keys: a random key for each environment; those of other rows are not used
        :return: the batch
        """
        return _reseed(batch, jnp.asarray(rows), keys)

    def reset(self, batch: BatchState, rows: ArrayLike, shown: Beginning | None = None) -> tuple[BatchState, Beginning]:
        """
        Begin the next episode in some environments. The batch given is used up.

        Not for compiled functions: whether spares are to be made is decided here, on the host. :meth:`step` is.

        :param batch: the batch
        :param rows: which environments, bool ``[N]``
        :param shown: what the others show; nothing of meaning if None
        :return: the batch, and what each environment shows now
        """
        if shown is None:
            # Not left to the compiled function, which would be compiled twice.
            shown = jax.tree.map(jnp.zeros_like, batch.spares)
        wanted, group = np.asarray(rows), self._group
        spares, missing = batch.spares, batch.missing
        while (wanted & np.asarray(missing)).any():
            spares, missing = _make_group(self.env, group, batch.keys, batch.episodes, spares, missing, wanted)
        scarce = np.count_nonzero(np.asarray(missing) | wanted) >= group
        states, episodes, elapsed, missing, (obs, achieved) = _begin(
            batch.states, batch.episodes, batch.elapsed, missing, spares, (shown.obs, shown.goals_achieved), wanted
        )
        if scarce:
            # Last, for nobody waits for these: they are made while the caller goes on.
            spares, missing = _make_group(self.env, group, batch.keys, episodes, spares, missing, wanted)
        return BatchState(batch.keys, episodes, elapsed, states, spares, missing), Beginning(obs, None, achieved)

    def step(self, batch: BatchState, actions: ArrayLike) -> tuple[BatchState, Transition, Beginning]:
        """
        Take a step and begin anew wherever an episode ended, in one function. The batch given is used up.

        :param batch: the batch
        :param actions: one action for each environment
        :return: the batch, the transition with its terminal rows, and what each environment shows now: the transition's
            observation and mask, or the new episode's
        """
        return _step_and_reset(self.env, self._group, batch, actions)

    def step_only(self, batch: BatchState, actions: ArrayLike) -> tuple[BatchState, Transition]:
        """
        Take a step and reset nothing. The batch given is used up.

        Who can look at the result before going on is faster with this, and :meth:`reset` when an episode has ended.

        :param batch: the batch
        :param actions: one action for each environment
        :return: the batch and the transition
        """
        # Spares are not handed over: as many arrays as the states have would cost as much as these.
        states, elapsed, transition = _step(self.env, batch.keys, batch.episodes, batch.elapsed, batch.states, actions)
        return batch._replace(states=states, elapsed=elapsed), transition


@partial(jax.jit, static_argnums=0)
def _empty(env: FunctionalEnv, keys: jax.Array) -> BatchState:
    num_envs = len(keys)
    shapes = jax.eval_shape(env.reset, keys[0])
    zeros = Beginning(*jax.tree.map(lambda leaf: jnp.zeros((num_envs, *leaf.shape), leaf.dtype), shapes))
    before = jnp.full(num_envs, -1, dtype=jnp.int32)
    return BatchState(keys, before, before, zeros.state, zeros, jnp.ones(num_envs, dtype=bool))


@jax.jit
def _reseed(batch: BatchState, rows: jax.Array, keys: jax.Array) -> BatchState:
    # A spare of the old key is none of the new one's.
    return batch._replace(
        keys=jnp.where(rows[:, None], keys, batch.keys),
        episodes=jnp.where(rows, -1, batch.episodes),
        missing=batch.missing | rows,
    )


@partial(jax.jit, static_argnums=0, donate_argnums=4)
def _step(
    env: FunctionalEnv, keys: jax.Array, episodes: jax.Array, elapsed: jax.Array, states: Tree, actions: jax.Array
) -> tuple[Tree, jax.Array, Transition]:
    """Step every environment: its state, the step's number in the episode, and what it brought."""
    elapsed = elapsed + 1
    keys = _fold(_fold(keys, episodes), elapsed)
    obs, states, rewards, terminated, truncated, achieved = jax.vmap(env.step)(keys, states, actions)
    return states, elapsed, Transition(obs, rewards, terminated, truncated, achieved)


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _step_and_reset(
    env: FunctionalEnv, group: int, batch: BatchState, actions: jax.Array
) -> tuple[BatchState, Transition, Beginning]:
    states, elapsed, transition = _step(env, batch.keys, batch.episodes, batch.elapsed, batch.states, actions)
    rows = transition.ended
    spares, missing = _with_spares(env, group, batch, rows)
    shown = (transition.obs, transition.goals_achieved)
    states, episodes, elapsed, missing, (obs, achieved) = _begin(states, batch.episodes, elapsed, missing, spares, shown, rows)
    batch = BatchState(batch.keys, episodes, elapsed, states, spares, missing)
    return batch, transition, Beginning(obs, None, achieved)


def _with_spares(env: FunctionalEnv, group: int, batch: BatchState, wanted: jax.Array) -> tuple[Beginning, jax.Array]:
    """The spares, as many more as are wanted, and which are missing still; without asking the host."""

    def more_wanted(carry: tuple[Beginning, jax.Array]) -> jax.Array:
        _, missing = carry
        return (wanted & missing).any() | (missing.sum() >= group)

    def make_more(carry: tuple[Beginning, jax.Array]) -> tuple[Beginning, jax.Array]:
        return _make_group(env, group, batch.keys, batch.episodes, *carry, wanted)

    # Two things here are for the compiler. It takes out of a loop what the loop does not change, and would do that part of
    # making worlds at every step: hence the branch around it. And it copies what a loop or branch carries: hence no states.
    carry = (batch.spares, batch.missing)
    return jax.lax.cond(
        more_wanted(carry), lambda carry: jax.lax.while_loop(more_wanted, make_more, carry), lambda carry: carry, carry
    )


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(4, 5))
def _make_group(
    env: FunctionalEnv,
    group: int,
    keys: jax.Array,
    episodes: jax.Array,
    spares: Beginning,
    missing: jax.Array,
    wanted: jax.Array,
) -> tuple[Beginning, jax.Array]:
    """Make one group of beginnings, first for those that wait for theirs."""
    urgencies, chosen = jax.lax.top_k(missing.astype(jnp.int32) + (missing & wanted), group)
    # Rows beyond the last one are dropped: the group may be larger than what is missing.
    rows = jnp.where(urgencies > 0, chosen, len(wanted))
    # The next episode's number, by way of what the loop changes: see above.
    numbers = episodes[chosen] + missing[chosen]
    keys = _fold(_fold(keys[chosen], numbers), jnp.zeros(group, dtype=jnp.int32))
    fresh = Beginning(*jax.vmap(env.reset)(keys))
    spares = jax.tree.map(lambda old, new: old.at[rows].set(new, mode="drop"), spares, fresh)
    return spares, missing.at[rows].set(False, mode="drop")


@partial(jax.jit, donate_argnums=(0, 1, 2, 3))
def _begin(
    states: Tree,
    episodes: jax.Array,
    elapsed: jax.Array,
    missing: jax.Array,
    spares: Beginning,
    shown: tuple[Tree, jax.Array],
    rows: jax.Array,
) -> tuple[Tree, jax.Array, jax.Array, jax.Array, tuple[Tree, jax.Array]]:
    """
    Put the spares of some rows into place, and into what is shown.

    Spares go in only: handing them back would cost as much as all the rest.
    """
    new = (spares.state, (spares.obs, spares.goals_achieved))
    states, shown = _replace_rows(rows, (states, shown), new)
    return states, episodes + rows, jnp.where(rows, 0, elapsed), missing | rows, shown


def _replace_rows(rows: jax.Array, old: Tree, new: Tree) -> Tree:
    """Some rows of one tree by those of another, one at a time: episodes end rarely, and states are large."""
    order = jnp.argsort(~rows)  # those asked for come first

    def copy_one(number: jax.Array, tree: Tree) -> Tree:
        row = order[number]
        return jax.tree.map(lambda target, source: target.at[row].set(source[row]), tree, new)

    return jax.lax.fori_loop(0, rows.sum(), copy_one, old)


def _fold(keys: jax.Array, numbers: jax.Array) -> jax.Array:
    return jax.vmap(jax.random.fold_in)(keys, numbers)
