"""Gymnasium vector environment of N functional environments."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from leo_wrappers.goal_set import BoolArray, GoalSet
from leo_wrappers.infos import final_infos, reset_needed
from leo_wrappers.jax_envs.arrays import actions_from_torch, on_host, row_of, to_actions, to_numpy, to_torch
from leo_wrappers.jax_envs.batch_functions import BatchState, Observed
from leo_wrappers.jax_envs.batched_env import BatchedEnv
from leo_wrappers.jax_envs.compilation import check_not_forked, compiling, prepare_jax
from leo_wrappers.jax_envs.functional_env import FunctionalEnv, Tree, check_functional_env
from leo_wrappers.keys import MASK_KEY
from leo_wrappers.validation import check_actions, check_choice, check_num_envs, check_reset_mask, row_seeds

if TYPE_CHECKING:
    import torch

Step = tuple[Any, npt.NDArray[np.float64], BoolArray, BoolArray, dict[str, Any]]


class TensorStep(NamedTuple):
    """
    Result of :meth:`JaxVectorEnv.step_tensors`: observations as PyTorch tensors on the device of JAX, all else as NumPy
    arrays of the transition.
    """

    obs: Any
    """Current observations ``[N, ...]``: of the next episode where one ended. Views of JAX arrays: copy, never write."""
    final_obs: Any
    """Terminal observations of the E environments whose episodes ended, in order; None if there are none."""
    rewards: npt.NDArray[np.float32]
    terminated: BoolArray
    truncated: BoolArray
    goals_achieved: BoolArray
    """The masks ``[N, G]``."""
    reset_goals_achieved: BoolArray
    """The masks ``[E, G]`` of the first states of the next episodes."""


class JaxVectorEnv(VectorEnv[Any, Any, npt.NDArray[Any]]):
    """
    Vectorized functional environments: a faster SyncVectorEnv of :class:`~leo_wrappers.jax_envs.JaxEnv` with equal results.

    Row i has the trajectory of the single environment seeded with ``seed + i``, in every autoreset mode.

    :param env: the functional environment
    :param num_envs: number of environments, N
    :param autoreset_mode: when to reset finished environments, an ``AutoresetMode`` or its value
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self, env: FunctionalEnv, num_envs: int = 1, *, autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP
    ) -> None:
        check_choice("autoreset_mode", autoreset_mode, (*AutoresetMode, *(mode.value for mode in AutoresetMode)))
        check_functional_env(env)
        prepare_jax()
        self.functional_env = env
        self.goal_names = env.goal_names
        self.num_envs = check_num_envs(num_envs, env.observation_space, len(env.goal_names))
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = env.observation_space
        self.single_action_space = env.action_space
        self.observation_space = batch_space(env.observation_space, self.num_envs)
        self.action_space = batch_space(env.action_space, self.num_envs)
        self._envs = BatchedEnv(env, self.num_envs)
        self._batch: BatchState | None = None
        # Kept for rows that a masked reset does not reset.
        self._observed: Observed | None = None
        # Episodes that have ended and not been reset yet.
        self._dones: BoolArray = np.zeros(self.num_envs, dtype=np.bool_)
        self._compiled = False

    @property
    def goal_set(self) -> GoalSet:
        """The goal set of the functional environment, with goal descriptors; AttributeError if it has none."""
        return self.functional_env.goal_set  # type: ignore[attr-defined, no-any-return]

    @property
    def states(self) -> Tree:
        """The current states of the functional environments, JAX arrays ``[N, ...]``."""
        return self._started_batch().states

    def warmup(self) -> None:
        """Compile now instead of at the first reset and step; draws no random numbers."""
        if self._compiled:
            return
        with compiling(f"{self.num_envs} x {type(self.functional_env).__name__}"):
            self._envs.compile(autoreset=self.autoreset_mode is AutoresetMode.SAME_STEP)
        self._compiled = True

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """
        Reset all environments, or those of a mask.

        :param seed: row i is seeded with ``seed + i``, or with item i of a list
        :param options: ``{"reset_mask": bool[N]}`` resets only these environments
        :return: observations and infos with ``goals_achieved``
        """
        seeds = row_seeds(seed, self.num_envs)
        rows = check_reset_mask((options or {}).get("reset_mask"), self.num_envs)
        check_not_forked()
        self.warmup()
        if self._batch is None and not rows.all():
            raise ResetNeeded("expected a first reset of all environments, got a reset_mask; call reset() without it first")
        self._batch, self._observed = self._envs.reset(self._seeded_batch(rows, seeds), rows, self._observed)
        obs, achieved = to_numpy(tuple(self._observed))
        achieved[~rows] = False
        self._dones = self._dones & ~rows
        return obs, {MASK_KEY: achieved, f"_{MASK_KEY}": rows.copy()}

    def step(self, actions: npt.ArrayLike) -> Step:  # type: ignore[override]
        """
        Step all environments.

        :param actions: one action per environment
        :return: observations, rewards, terminations, truncations, and infos with ``goals_achieved``
        """
        batch = self._started_batch()
        previous_dones = self._dones
        if self.autoreset_mode is AutoresetMode.DISABLED and previous_dones.any():
            raise reset_needed(previous_dones)
        check_not_forked()
        actions = self._check_actions(actions, previous_dones)
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            return self._step_and_reset(batch, actions)
        self._batch, transition = self._envs.step(batch, actions)
        rewards, terminated, truncated = to_numpy((transition.rewards, transition.terminated, transition.truncated))
        self._observed = transition.observed
        if previous_dones.any():
            # Only in NEXT_STEP mode, where this step resets these environments.
            rewards[previous_dones], terminated[previous_dones], truncated[previous_dones] = 0, False, False
            self._batch, self._observed = self._envs.reset(self._batch, previous_dones, self._observed)
        self._dones = terminated | truncated
        obs, achieved = to_numpy(tuple(self._observed))
        return obs, rewards.astype(np.float64), terminated, truncated, self._infos(achieved)

    def _step_and_reset(self, batch: BatchState, actions: npt.NDArray[Any] | jax.Array) -> Step:
        """Take a step in autoreset mode SAME_STEP."""
        self._batch, transition, self._observed, host = self._envs.step_and_reset(batch, actions)
        infos, rows = self._infos(host.goals_achieved), np.flatnonzero(host.dones)
        if len(rows):
            # Transfer whole arrays: selecting rows on the device would compile again for each number of rows.
            final_obs = on_host(transition.obs)
            final_rows = [to_numpy(row_of(final_obs, row)) for row in rows.tolist()]
            infos |= final_infos(host.dones, final_rows, host.goals_achieved[rows])
            host.goals_achieved[rows] = host.reset_goals_achieved
        return to_numpy(self._observed.obs), host.rewards.astype(np.float64), host.terminated, host.truncated, infos

    def _infos(self, achieved: BoolArray) -> dict[str, Any]:
        return {MASK_KEY: achieved, f"_{MASK_KEY}": np.ones(self.num_envs, dtype=np.bool_)}

    def step_tensors(self, actions: "torch.Tensor") -> TensorStep:
        """
        Step all environments, whose observations stay on the device; autoreset mode SAME_STEP only.

        The host reads rewards, flags and bit-packed masks only. Copy the observations before the next step: JAX orders its
        reuse of their memory after the work that PyTorch has started when it gets the next actions.

        :param actions: one valid action per environment
        :return: the result of the step
        """
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError(
                f"expected autoreset_mode SAME_STEP for step_tensors, got {self.autoreset_mode}; make the environments with it"
            )
        check_not_forked()
        batch = self._started_batch()
        # Waits for the step, so that the actions have been read.
        self._batch, transition, self._observed, host = self._envs.step_and_reset(
            batch, actions_from_torch(self.single_action_space, actions)
        )
        rows = np.flatnonzero(host.dones)
        final_obs = _select_rows(to_torch(transition.obs), rows) if len(rows) else None
        return TensorStep(to_torch(self._observed.obs), final_obs, *host)

    def _seeded_batch(self, rows: BoolArray, seeds: Sequence[int | None]) -> BatchState:
        """Return the batch with new keys for rows that have a seed, or all of them at the first reset."""
        if self._batch is None:
            # Rows without a seed take one from the system's entropy, as a single environment does.
            return self._envs.empty(self._envs.keys([seeding.np_random(seed)[1] for seed in seeds]))
        seeded = rows & np.array([seed is not None for seed in seeds])
        if not seeded.any():
            return self._batch
        return self._envs.reseed(self._batch, seeded, self._envs.keys([0 if seed is None else seed for seed in seeds]))

    def _check_actions(self, actions: npt.ArrayLike, ignored: BoolArray) -> npt.NDArray[Any] | jax.Array:
        space = self.single_action_space
        if not isinstance(space, spaces.Discrete):
            return to_actions(space, actions)
        if ignored.any():
            # Actions of environments that this step resets may be invalid.
            actions = np.array(actions)
            if actions.shape == ignored.shape:
                actions[ignored] = 0
        return to_actions(space, check_actions(actions, self.num_envs, int(space.n)))

    def _started_batch(self) -> BatchState:
        if self._batch is None:
            raise ResetNeeded("expected running episodes, got a new vector environment; call reset() first")
        return self._batch


def _select_rows(tensors: Any, rows: npt.NDArray[np.int64]) -> Any:
    """Copy rows of tensors in any nesting: PyTorch, unlike JAX, does not compile again for each number of rows."""
    import torch

    indices = torch.from_numpy(rows).to(jax.tree.leaves(tensors)[0].device, non_blocking=True)
    return jax.tree.map(lambda values: values[indices], tensors)
