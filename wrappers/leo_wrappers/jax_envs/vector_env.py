"""Gymnasium vector environment of N functional environments."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from leo_wrappers.goal_set import BoolArray, GoalSet
from leo_wrappers.infos import final_infos, reset_needed
from leo_wrappers.jax_envs.arrays import on_host, row_of, to_actions, to_numpy
from leo_wrappers.jax_envs.batched_env import BatchedEnv, BatchState, Observed, Transition
from leo_wrappers.jax_envs.compilation import check_not_forked, compiling, prepare_jax
from leo_wrappers.jax_envs.functional_env import FunctionalEnv, Tree, check_functional_env
from leo_wrappers.keys import MASK_KEY
from leo_wrappers.validation import check_actions, check_choice, check_num_envs, check_reset_mask, row_seeds

Step = tuple[Any, npt.NDArray[np.float64], BoolArray, BoolArray, dict[str, Any]]


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
            self._envs.compile()
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
        self._batch, transition = self._envs.step(batch, self._check_actions(actions, previous_dones))
        rewards, terminated, truncated = to_numpy((transition.rewards, transition.terminated, transition.truncated))
        if previous_dones.any():
            # Only in NEXT_STEP mode, where this step resets these environments.
            rewards[previous_dones], terminated[previous_dones], truncated[previous_dones] = 0, False, False
        self._dones = terminated | truncated
        same_step = self.autoreset_mode is AutoresetMode.SAME_STEP
        resets = self._dones if same_step else previous_dones
        self._observed = transition.observed
        if resets.any():
            self._batch, self._observed = self._envs.reset(self._batch, resets, self._observed)
        obs, achieved = to_numpy(tuple(self._observed))
        infos: dict[str, Any] = {MASK_KEY: achieved, f"_{MASK_KEY}": np.ones(self.num_envs, dtype=np.bool_)}
        if same_step:
            if self._dones.any():
                infos |= self._final_infos(transition)
            self._dones = np.zeros_like(self._dones)
        return obs, rewards.astype(np.float64), terminated, truncated, infos

    def _seeded_batch(self, rows: BoolArray, seeds: Sequence[int | None]) -> BatchState:
        """Return the batch with new keys for rows that have a seed, or all of them at the first reset."""
        if self._batch is None:
            # Rows without a seed take one from the system's entropy, as a single environment does.
            return self._envs.empty(self._envs.keys([seeding.np_random(seed)[1] for seed in seeds]))
        seeded = rows & np.array([seed is not None for seed in seeds])
        if not seeded.any():
            return self._batch
        return self._envs.reseed(self._batch, seeded, self._envs.keys([0 if seed is None else seed for seed in seeds]))

    def _check_actions(self, actions: npt.ArrayLike, ignored: BoolArray) -> npt.NDArray[Any]:
        space = self.single_action_space
        if not isinstance(space, spaces.Discrete):
            return to_actions(space, actions)
        if ignored.any():
            # Actions of environments that this step resets may be invalid.
            actions = np.array(actions)
            if actions.shape == ignored.shape:
                actions[ignored] = 0
        return to_actions(space, check_actions(actions, self.num_envs, int(space.n)))

    def _final_infos(self, transition: Transition) -> dict[str, Any]:
        rows = np.flatnonzero(self._dones)
        # Transfer whole arrays: selecting rows on the device would compile again for each number of rows.
        obs, achieved = on_host(tuple(transition.observed))
        return final_infos(self._dones, [to_numpy(row_of(obs, row)) for row in rows.tolist()], achieved[rows])

    def _started_batch(self) -> BatchState:
        if self._batch is None:
            raise ResetNeeded("expected running episodes, got a new vector environment; call reset() first")
        return self._batch
