"""Gymnasium vector environment on a finite MDP: one array operation steps all environments."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from leo_envs.common.generators import RowGenerators
from leo_envs.common.mdp import BoolArray, FiniteMDP, FloatArray, IntArray
from leo_envs.common.mdp_mixin import FiniteMDPMixin
from leo_wrappers import GoalSet
from leo_wrappers.infos import final_infos, reset_needed
from leo_wrappers.validation import (
    check_actions,
    check_choice,
    check_num_envs,
    check_reset_mask,
    check_time_limit,
    row_seeds,
)

Step = tuple[FloatArray, npt.NDArray[np.float64], BoolArray, BoolArray, dict[str, Any]]


class FiniteMDPVectorEnv(FiniteMDPMixin, VectorEnv[FloatArray, IntArray, npt.NDArray[Any]]):
    """
    N parallel environments on one finite MDP. Equivalent to SyncVectorEnv of :class:`FiniteMDPEnv`, but much faster.

    Environment i has its own random generator, seeded with ``seed + i``, and follows the trajectory of the single environment
    with that seed. All returned arrays are new.

    :param mdp: dynamics, observations and goals
    :param num_envs: number of environments, N
    :param time_limit: truncate after this many steps; no limit when None
    :param max_episode_steps: time limit passed by ``gym.make_vec`` (None and -1 mean no limit); the shorter limit applies
    :param autoreset_mode: an ``AutoresetMode`` or its value
    :param render_mode: "rgb_array", "ansi" or None
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": 8,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        mdp: FiniteMDP,
        num_envs: int = 1,
        *,
        time_limit: int | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(mdp)
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        check_choice("autoreset_mode", autoreset_mode, (*AutoresetMode, *(mode.value for mode in AutoresetMode)))
        self.num_envs = check_num_envs(num_envs, mdp.observation_space, len(self.goal_names))
        self.render_mode = render_mode
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = mdp.observation_space
        self.single_action_space = spaces.Discrete(mdp.num_actions)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

        self.time_limit = shorter_time_limit(time_limit, max_episode_steps)
        self._limit = np.iinfo(np.intp).max if self.time_limit is None else self.time_limit
        self._generators = RowGenerators(self.num_envs)
        self._states: IntArray = np.full(self.num_envs, -1, dtype=np.intp)
        self._elapsed: IntArray = np.zeros(self.num_envs, dtype=np.intp)
        # Environments that were truncated in the last step and not reset yet.
        self._done: BoolArray = np.zeros(self.num_envs, dtype=np.bool_)
        self._any_done = False
        self._was_reset = False
        self._commanded_goals: list[int | None] = [None] * self.num_envs

    @property
    def state(self) -> IntArray:
        """The current states as numbers, ``[N]``."""
        self._check_was_reset()
        return self._states.copy()

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """The random generators, one per environment."""
        return tuple(self._generators[row] for row in range(self.num_envs))

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seeds, one per environment."""
        return tuple(self._generators.seed_of(row) for row in range(self.num_envs))

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """
        Start a new episode in all environments, or in those of a mask.

        :param seed: environment i is seeded with ``seed + i``, or with item i of a sequence
        :param options: ``{"start": start}`` sets the start state; ``{"reset_mask": bool[N]}`` resets only these environments
        :return: observations and infos with ``goals_achieved``
        """
        seeds = row_seeds(seed, self.num_envs)
        options = dict(options or {})
        mask = check_reset_mask(options.pop("reset_mask", None), self.num_envs)
        rows = np.flatnonzero(mask)
        for row in rows.tolist():
            if seeds[row] is not None:
                self._generators.reseed(row, seeds[row])
        if not self._was_reset and len(rows) < self.num_envs:
            raise ResetNeeded("expected a first reset of all environments, got a reset_mask; call reset() without it first")
        start = options.get("start")
        self._restart(self._states, rows, None if start is None else self.mdp.state_at(start))
        self._was_reset = True
        self._done[rows] = False
        self._any_done = bool(self._done.any())
        return self.mdp.observe(self._states), self._infos(self._states, mask)

    def step(self, actions: npt.ArrayLike) -> Step:  # type: ignore[override]
        """
        Take one step in every environment.

        :param actions: one action per environment, integers ``[N]``
        :return: observations, rewards 0.0, terminations False, truncations, and infos with ``goals_achieved``
        """
        self._check_was_reset()
        resetting = self._rows_to_reset()
        if resetting is not None:
            # These environments ignore their actions, which need not be valid.
            actions = np.array(actions)
            if actions.shape == (self.num_envs,):
                actions[resetting] = 0
        states = self.mdp.next_states(self._states, check_actions(actions, self.num_envs, self.mdp.num_actions))
        self._elapsed += 1
        if resetting is not None:
            self._restart(states, resetting)
        truncated: BoolArray = self._elapsed >= self._limit
        self._done, self._any_done = truncated, bool(truncated.any())
        final: dict[str, Any] = {}
        if self._any_done and self.autoreset_mode is AutoresetMode.SAME_STEP:
            rows = np.flatnonzero(truncated)
            final = final_infos(truncated, self.mdp.observe(states[rows]), self.mdp.achieved(states[rows]))
            self._restart(states, rows)
        self._states = states
        infos = self._infos(states) | final
        rewards, terminated = np.zeros(self.num_envs, dtype=np.float64), np.zeros(self.num_envs, dtype=np.bool_)
        return self.mdp.observe(states), rewards, terminated, truncated.copy(), infos

    def set_commanded_goals(self, goal_ids: npt.ArrayLike | None) -> None:
        """
        Set the goals that :meth:`render` draws; nothing else depends on them.

        :param goal_ids: one goal per environment, ``[N]``, or None to draw none
        """
        self._commanded_goals = check_commanded_goals(goal_ids, self.goal_set, self.num_envs)

    def render(self) -> tuple[Any, ...] | None:
        """
        Render the current state of every environment.

        :return: one RGB array (text in mode "ansi") per environment; None without a render mode
        """
        self._check_was_reset()
        if self.render_mode is None:
            return None
        draw = self.mdp.painter.text if self.render_mode == "ansi" else self.mdp.painter.frame
        return tuple(draw(state, goal) for state, goal in zip(self._states.tolist(), self._commanded_goals, strict=True))

    def _check_was_reset(self) -> None:
        if not self._was_reset:
            raise ResetNeeded("expected running episodes, got a vector environment before its first reset; call reset() first")

    def _rows_to_reset(self) -> IntArray | None:
        """Return the environments that this step resets, in mode NEXT_STEP."""
        if not self._any_done or self.autoreset_mode is AutoresetMode.SAME_STEP:
            return None
        if self.autoreset_mode is AutoresetMode.DISABLED:
            raise reset_needed(self._done)
        return np.flatnonzero(self._done)

    def _restart(self, states: IntArray, rows: IntArray, start: int | None = None) -> None:
        self._elapsed[rows] = 0
        if start is not None:
            states[rows] = start
        elif len(self.mdp.starts) == 1:
            states[rows] = self.mdp.starts[0]
        else:
            states[rows] = [self.mdp.sample_start(self._generators[row]) for row in rows]

    def _infos(self, states: IntArray, rows: BoolArray | None = None) -> dict[str, Any]:
        achieved = self.mdp.achieved(states)
        if rows is None:
            return {"goals_achieved": achieved, "_goals_achieved": np.ones(self.num_envs, dtype=np.bool_)}
        achieved[~rows] = False
        return {"goals_achieved": achieved, "_goals_achieved": rows.copy()}


def shorter_time_limit(time_limit: int | None, max_episode_steps: int | None) -> int | None:
    """
    Validate two time limits and return the shorter one.

    :param time_limit: number of steps; no limit when None
    :param max_episode_steps: time limit passed by ``gym.make_vec``; no limit when None or -1
    :return: number of steps, or None for no limit
    """
    limits = (
        check_time_limit(time_limit),
        check_time_limit(None if max_episode_steps == -1 else max_episode_steps, "max_episode_steps"),
    )
    return min((limit for limit in limits if limit is not None), default=None)


def check_commanded_goals(goal_ids: npt.ArrayLike | None, goal_set: GoalSet, num_envs: int) -> list[int | None]:
    """
    Validate the commanded goals of a vector environment.

    :param goal_ids: one goal per environment, by id or name, or None
    :param goal_set: the goals
    :param num_envs: number of environments, N
    :return: N goal ids, or N times None
    """
    if goal_ids is None:
        return [None] * num_envs
    goals = np.asarray(goal_ids)
    if goals.shape != (num_envs,):
        raise ValueError(f"expected {num_envs} goal ids, got shape {goals.shape}; pass one for each environment")
    return [goal_set.index(goal) for goal in goals.tolist()]
