"""Many functional environments as a Gymnasium vector environment."""

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
from leo_wrappers.jax_envs.batched_env import BatchedEnv, BatchState, Beginning, Transition
from leo_wrappers.jax_envs.compilation import check_not_forked, compiling, prepare_jax
from leo_wrappers.jax_envs.functional_env import FunctionalEnv, Tree
from leo_wrappers.keys import MASK_KEY
from leo_wrappers.validation import check_actions, check_choice, check_num_envs, check_reset_mask, row_seeds

Step = tuple[Any, npt.NDArray[np.float64], BoolArray, BoolArray, dict[str, Any]]


class JaxVectorEnv(VectorEnv[Any, Any, npt.NDArray[Any]]):
    """
    N functional environments at once: what SyncVectorEnv of :class:`~leo_wrappers.jax_envs.JaxEnv` returns, far faster.

    Row i takes exactly the trajectory of the single environment seeded with ``seed + i``, in every autoreset mode.

    :param env: the functional environment
    :param num_envs: N
    :param autoreset_mode: when a finished environment begins anew: an ``AutoresetMode`` or its value
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self, env: FunctionalEnv, num_envs: int = 1, *, autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP
    ) -> None:
        check_choice("autoreset_mode", autoreset_mode, (*AutoresetMode, *(mode.value for mode in AutoresetMode)))
        prepare_jax()
        self.functional_env = env
        self.goal_names = env.goal_names
        self.num_envs = check_num_envs(num_envs)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = env.observation_space
        self.single_action_space = env.action_space
        self.observation_space = batch_space(env.observation_space, self.num_envs)
        self.action_space = batch_space(env.action_space, self.num_envs)
        self._envs = BatchedEnv(env, self.num_envs)
        self._batch: BatchState | None = None
        # Kept for rows that a masked reset leaves alone.
        self._shown: Beginning | None = None
        # Rows that ended at the last step and wait for their reset.
        self._ended: BoolArray = np.zeros(self.num_envs, dtype=np.bool_)
        self._warm = False

    @property
    def goal_set(self) -> GoalSet:
        """The goals with their descriptors, where the functional environment has them."""
        return self.functional_env.goal_set  # type: ignore[attr-defined, no-any-return]

    @property
    def states(self) -> Tree:
        """The functional environments' current states, in JAX arrays ``[N, ...]``."""
        return self._under_way().states

    def warmup(self) -> None:
        """Compile now what the first reset and the first steps would compile; it draws no random number."""
        if self._warm:
            return
        with compiling(f"{self.num_envs} x {type(self.functional_env).__name__}"):
            self._envs.compile()
        self._warm = True

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """
        Begin an episode in every environment, or in those of a mask.

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
        self._batch, self._shown = self._envs.reset(self._seeded(rows, seeds), rows, self._shown)
        obs, achieved = to_numpy((self._shown.obs, self._shown.goals_achieved))
        achieved[~rows] = False
        self._ended = self._ended & ~rows
        return obs, {MASK_KEY: achieved, f"_{MASK_KEY}": rows.copy()}

    def step(self, actions: npt.ArrayLike) -> Step:  # type: ignore[override]
        """
        Take one step in every environment.

        :param actions: one action for each environment
        :return: observations, rewards, terminations, truncations, and infos with ``goals_achieved``
        """
        batch = self._under_way()
        waiting = self._ended
        if self.autoreset_mode is AutoresetMode.DISABLED and waiting.any():
            raise reset_needed(waiting)
        check_not_forked()
        self._batch, made = self._envs.step_only(batch, self._checked(actions, waiting))
        rewards, terminated, truncated = to_numpy((made.rewards, made.terminated, made.truncated))
        if waiting.any():
            # Only in the next-step mode: for them this step is the reset.
            rewards[waiting], terminated[waiting], truncated[waiting] = 0, False, False
        self._ended = terminated | truncated
        same_step = self.autoreset_mode is AutoresetMode.SAME_STEP
        begin = self._ended if same_step else waiting
        self._shown = made.shown
        if begin.any():
            self._batch, self._shown = self._envs.reset(self._batch, begin, made.shown)
        obs, achieved = to_numpy((self._shown.obs, self._shown.goals_achieved))
        infos: dict[str, Any] = {MASK_KEY: achieved, f"_{MASK_KEY}": np.ones(self.num_envs, dtype=np.bool_)}
        if same_step:
            if self._ended.any():
                infos |= self._final_infos(made)
            self._ended = np.zeros_like(self._ended)
        return obs, rewards.astype(np.float64), terminated, truncated, infos

    def _seeded(self, rows: BoolArray, seeds: Sequence[int | None]) -> BatchState:
        """The batch with new keys for the rows that have a seed, or that have never been reset."""
        if self._batch is None:
            # Without a seed each row takes one from the system's entropy, as a single environment does.
            return self._envs.empty(self._envs.keys([seeding.np_random(seed)[1] for seed in seeds]))
        seeded = rows & np.array([seed is not None for seed in seeds])
        if not seeded.any():
            return self._batch
        return self._envs.reseed(self._batch, seeded, self._envs.keys([0 if seed is None else seed for seed in seeds]))

    def _checked(self, actions: npt.ArrayLike, waiting: BoolArray) -> npt.NDArray[Any]:
        space = self.single_action_space
        if not isinstance(space, spaces.Discrete):
            return to_actions(space, actions)
        if waiting.any():
            # Their actions are ignored, whatever they are.
            actions = np.array(actions)
            if actions.shape == waiting.shape:
                actions[waiting] = 0
        return to_actions(space, check_actions(actions, self.num_envs, int(space.n)))

    def _final_infos(self, made: Transition) -> dict[str, Any]:
        rows = np.flatnonzero(self._ended)
        # Whole arrays come to the host: taking rows out on the device would compile anew for every number of them.
        obs, achieved = on_host((made.obs, made.goals_achieved))
        return final_infos(self._ended, [to_numpy(row_of(obs, row)) for row in rows.tolist()], achieved[rows])

    def _under_way(self) -> BatchState:
        if self._batch is None:
            raise ResetNeeded("expected episodes under way, got a fresh vector environment; call reset() first")
        return self._batch
