"""N parallel copies of a functional environment: compiled steps and resets with masks and terminal observations."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.typing import ArrayLike

from leo_wrappers.goal_set import BoolArray
from leo_wrappers.jax_envs.arrays import on_host, to_actions, to_numpy
from leo_wrappers.jax_envs.compilation import DeviceFunction
from leo_wrappers.jax_envs.functional_env import FunctionalEnv, Tree, check_functional_env
from leo_wrappers.validation import check_num_envs

# Initial states are prepared in groups: a single reset costs several times its part of a group. On a CPU larger groups gain
# nothing; on a GPU, where a group of any size takes about the same time, a quarter of the environments is a group.
RESETS_PER_GROUP = 16


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


class HostStep(NamedTuple):
    """What the host reads of a step: NumPy arrays of the transition."""

    rewards: npt.NDArray[np.float32]
    terminated: BoolArray
    truncated: BoolArray
    goals_achieved: BoolArray
    """The masks ``[N, G]``."""
    reset_goals_achieved: BoolArray
    """The masks ``[E, G]`` of the first states of the next episodes, where one ended."""

    @property
    def dones(self) -> BoolArray:
        """Whether the episodes ended, ``[N]``."""
        return self.terminated | self.truncated


class BatchedEnv:
    """
    N parallel copies of a functional environment, as functions of a :class:`BatchState`.

    The trajectory of an environment depends on its key and its actions only, not on the other environments, their number, or
    the time of its resets: the random key of every reset and step is derived from its own key, the number of the episode and
    the number of the step. Initial states of the next episodes are prepared in groups ahead of time; if too few are ready,
    :meth:`reset` prepares more first.

    :param env: the functional environment
    :param num_envs: number of environments, N

    Example::

        >>> import jax
        >>> from leo_envs.craftax import CraftaxClassic
        >>> envs = BatchedEnv(CraftaxClassic(), num_envs=2)
        >>> batch, observed = envs.reset(envs.empty(envs.keys([0, 1])), jax.numpy.array([True, True]))
        >>> batch, transition = envs.step(batch, jax.numpy.array([0, 1]))
        >>> transition.goals_achieved.shape
        (2, 136)
    """

    def __init__(self, env: FunctionalEnv, num_envs: int) -> None:
        check_functional_env(env)
        self.env = env
        self.num_envs = check_num_envs(num_envs, env.observation_space, len(env.goal_names))

    @property
    def _group(self) -> int:
        """Number of initial states to prepare together. Not known before JAX starts, which creating environments does not."""
        on_cpu = jax.default_backend() == "cpu"
        return min(self.num_envs, RESETS_PER_GROUP if on_cpu else max(RESETS_PER_GROUP, self.num_envs // 4))

    def keys(self, seeds: list[int]) -> jax.Array:
        """
        Create random keys.

        :param seeds: one seed per environment, taken modulo 2 ** 32
        :return: one key per environment
        """
        return jax.vmap(jax.random.PRNGKey)(jnp.array([seed % 2**32 for seed in seeds], dtype=jnp.uint32))

    def compile(self, autoreset: bool = False) -> None:
        """
        Compile now instead of at the first calls.

        :param autoreset: compile :meth:`reset` and :meth:`step_and_reset`; else :meth:`reset` and :meth:`step`
        """
        # Only one row is missing its initial state, so exactly one group is prepared.
        first = np.arange(self.num_envs) == 0
        batch = self.empty(self.keys([0] * self.num_envs))
        batch = batch._replace(missing=batch.missing & first)
        batch, _ = self.reset(batch, first)
        space = self.env.action_space
        actions = to_actions(space, np.zeros((self.num_envs, *(space.shape or ()))))
        step = self.step_and_reset if autoreset else self.step
        step(batch, actions)[0].elapsed.block_until_ready()

    def empty(self, keys: jax.Array) -> BatchState:
        """
        Create a batch without episodes, to be reset completely before the first step.

        :param keys: one random key per environment
        :return: the batch
        """
        # Committed to their device, and with them all states: actions that another library hands over are, and JAX compiles
        # functions once for arguments that are and once for those that are not.
        return _empty(self.env, jax.device_put(keys, *keys.devices()))

    def reseed(self, batch: BatchState, rows: ArrayLike, keys: jax.Array) -> BatchState:
        """
        Give new keys to some environments, to be reset before the next step.

        :param batch: the batch
        :param rows: the environments to seed, bool ``[N]``
        :param keys: one random key per environment; ignored for other rows
        :return: the new batch
        """
        return _reseed(batch, jnp.asarray(rows), keys)

    def reset(self, batch: BatchState, rows: ArrayLike, observed: Observed | None = None) -> tuple[BatchState, Observed]:
        """
        Start the next episode in some environments. The given batch is donated: it must not be used again.

        Not to be called in compiled functions, because it decides on the host whether to prepare more initial states.

        :param batch: the batch
        :param rows: the environments to reset, bool ``[N]``
        :param observed: current observations and masks, kept for the other environments; zeros if None
        :return: the new batch, and the current observations and masks
        """
        if observed is None:
            # Zeros instead of None, so that the compiled function is compiled only once.
            observed = jax.tree.map(jnp.zeros_like, Observed(batch.prepared.obs, batch.prepared.goals_achieved))
        requested, group = np.asarray(rows), self._group
        prepared, missing = batch.prepared, batch.missing
        while (requested & np.asarray(missing)).any():
            prepared, missing = _prepare_group(self.env, group, batch.keys, batch.episodes, prepared, missing, requested)
        scarce = np.count_nonzero(np.asarray(missing) | requested) >= group
        states, episodes, elapsed, missing, observed = _start_episodes(
            batch.states, batch.episodes, batch.elapsed, missing, prepared, observed, requested
        )
        if scarce:
            # Dispatched last: JAX computes them asynchronously while the caller continues.
            prepared, missing = _prepare_group(self.env, group, batch.keys, episodes, prepared, missing, requested)
        return BatchState(batch.keys, episodes, elapsed, states, prepared, missing), observed

    def step(self, batch: BatchState, actions: ArrayLike) -> tuple[BatchState, Transition]:
        """
        Step all environments without resetting any. The given batch is donated: it must not be used again.

        :param batch: the batch
        :param actions: one action per environment
        :return: the new batch and the transition
        """
        # Prepared initial states are not passed: they are as large as the states, and donating them would cost as much.
        states, elapsed, transition = _step(self.env, batch.keys, batch.episodes, batch.elapsed, batch.states, actions)
        return batch._replace(states=states, elapsed=elapsed), transition

    def step_and_reset(self, batch: BatchState, actions: ArrayLike) -> tuple[BatchState, Transition, Observed, HostStep]:
        """
        Step all environments and start the next episode where one ended, as :meth:`step` and :meth:`reset`.

        On a GPU this is one compiled function and one transfer to the host. The given batch is donated: it must not be used
        again.

        :param batch: the batch
        :param actions: one action per environment
        :return: the new batch, the transition, the observations and masks after the resets, and what the host reads
        """
        if not _resets_on_device():
            batch, transition = self.step(batch, actions)
            rewards, terminated, truncated, achieved = to_numpy(transition[1:])
            host, observed = HostStep(rewards, terminated, truncated, achieved, achieved[:0]), transition.observed
            if host.dones.any():
                batch, observed = self.reset(batch, host.dones, observed)
                host = host._replace(reset_goals_achieved=on_host(observed.goals_achieved)[host.dones])
            return batch, transition, observed, host
        states, episodes, elapsed, missing, transition, observed, packed = _step_and_start(
            self.env, batch.keys, batch.episodes, batch.elapsed, batch.states, actions, batch.missing, batch.prepared
        )
        batch = BatchState(batch.keys, episodes, elapsed, states, batch.prepared, missing)
        host, late, num_missing = self._unpack(on_host(packed))
        if late.any():
            batch, observed = self.reset(batch, late, observed)
            host = host._replace(reset_goals_achieved=on_host(observed.goals_achieved)[host.dones])
        elif num_missing >= self._group:
            # Dispatched last, as in reset().
            arguments = (batch.keys, batch.episodes, batch.prepared, batch.missing, host.dones)
            prepared, missing = _prepare_group(self.env, self._group, *arguments)
            batch = batch._replace(prepared=prepared, missing=missing)
        return batch, transition, observed, host

    def _unpack(self, packed: npt.NDArray[np.uint8]) -> tuple[HostStep, BoolArray, int]:
        """Return the contents of the last output of ``_step_and_start``, and the number of missing initial states."""
        num_goals = len(self.env.goal_names)
        rewards, flags, *masks = np.split(packed, np.cumsum([4, 4, -(-num_goals // 8)]), axis=1)
        terminated, truncated, late, missing = flags.T.astype(np.bool_)
        achieved, after = (np.unpackbits(part, axis=1, count=num_goals, bitorder="little").view(np.bool_) for part in masks)
        as_float = np.ascontiguousarray(rewards).view(np.float32)[:, 0]
        host = HostStep(as_float, terminated, truncated, achieved, after[terminated | truncated])
        return host, late, int(np.count_nonzero(missing))


def _resets_on_device() -> bool:
    """Return whether steps start the next episodes themselves. On a CPU nothing is gained: transfers are views."""
    return jax.default_backend() != "cpu"


@partial(jax.jit, static_argnums=0)
def _empty(env: FunctionalEnv, keys: jax.Array) -> BatchState:
    num_envs = len(keys)
    shapes = jax.eval_shape(env.reset, keys[0])
    zeros = InitialStates(*jax.tree.map(lambda leaf: jnp.zeros((num_envs, *leaf.shape), leaf.dtype), shapes))
    not_started = jnp.full(num_envs, -1, dtype=jnp.int32)
    return BatchState(keys, not_started, not_started, zeros.state, zeros, jnp.ones(num_envs, dtype=bool))


@jax.jit
def _reseed(batch: BatchState, rows: jax.Array, keys: jax.Array) -> BatchState:
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


_step = DeviceFunction(_step_function, static_argnums=0, donate_argnums=4)


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
    Step, then start episodes as :func:`_start_episodes` where one ended and an initial state is ready.

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


_step_and_start = DeviceFunction(_step_and_start_function, static_argnums=0, donate_argnums=4)


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(4, 5))
def _prepare_group(
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


_start_episodes = jax.jit(_start_episodes_function, donate_argnums=(0, 1, 2, 3))


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
