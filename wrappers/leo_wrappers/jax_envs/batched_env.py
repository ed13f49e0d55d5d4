"""N parallel copies of a functional environment: compiled steps and resets with masks and terminal observations."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax.typing import ArrayLike

from leo_wrappers.goal_set import BoolArray
from leo_wrappers.jax_envs import batch_functions
from leo_wrappers.jax_envs.arrays import on_host, to_actions, to_numpy
from leo_wrappers.jax_envs.batch_functions import BatchState, Observed, Transition
from leo_wrappers.jax_envs.functional_env import FunctionalEnv, check_functional_env
from leo_wrappers.validation import check_num_envs

# Initial states are prepared in groups: a single reset costs several times its part of a group. On a CPU larger groups gain
# nothing; on a GPU, where a group of any size takes about the same time, a quarter of the environments is a group.
RESETS_PER_GROUP = 16


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
        return batch_functions.empty(self.env, jax.device_put(keys, *keys.devices()))

    def reseed(self, batch: BatchState, rows: ArrayLike, keys: jax.Array) -> BatchState:
        """
        Give new keys to some environments, to be reset before the next step.

        :param batch: the batch
        :param rows: the environments to seed, bool ``[N]``
        :param keys: one random key per environment; ignored for other rows
        :return: the new batch
        """
        return batch_functions.reseed(batch, jnp.asarray(rows), keys)

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
            prepared, missing = batch_functions.prepare_group(
                self.env, group, batch.keys, batch.episodes, prepared, missing, requested
            )
        scarce = np.count_nonzero(np.asarray(missing) | requested) >= group
        states, episodes, elapsed, missing, observed = batch_functions.start_episodes(
            batch.states, batch.episodes, batch.elapsed, missing, prepared, observed, requested
        )
        if scarce:
            # Dispatched last: JAX computes them asynchronously while the caller continues.
            prepared, missing = batch_functions.prepare_group(
                self.env, group, batch.keys, episodes, prepared, missing, requested
            )
        return BatchState(batch.keys, episodes, elapsed, states, prepared, missing), observed

    def step(self, batch: BatchState, actions: ArrayLike) -> tuple[BatchState, Transition]:
        """
        Step all environments without resetting any. The given batch is donated: it must not be used again.

        :param batch: the batch
        :param actions: one action per environment
        :return: the new batch and the transition
        """
        # Prepared initial states are not passed: they are as large as the states, and donating them would cost as much.
        states, elapsed, transition = batch_functions.step(
            self.env, batch.keys, batch.episodes, batch.elapsed, batch.states, actions
        )
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
        states, episodes, elapsed, missing, transition, observed, packed = batch_functions.step_and_start(
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
            prepared, missing = batch_functions.prepare_group(self.env, self._group, *arguments)
            batch = batch._replace(prepared=prepared, missing=missing)
        return batch, transition, observed, host

    def _unpack(self, packed: npt.NDArray[np.uint8]) -> tuple[HostStep, BoolArray, int]:
        """Return the contents of the last output of ``step_and_start``, and the number of missing initial states."""
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
