"""A Gymnasium vector environment over a world: all environments step at once by table look-ups."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from leo_envs.common.generators import RowGenerators
from leo_envs.common.mdp import BoolArray, FloatArray, IntArray, World
from leo_envs.common.mdp_env import FiniteMDPView
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


class WorldVectorEnv(FiniteMDPView, VectorEnv[FloatArray, IntArray, npt.NDArray[Any]]):
    """
    Many episodes at once in one world: what SyncVectorEnv of the single environment returns, at a small fraction of the cost.

    Row i draws from a generator of its own, seeded with ``seed + i``, and takes exactly the trajectory of the single
    environment with that seed. Every array handed out is a fresh one.

    :param world: the rules
    :param num_envs: the number of environments
    :param time_limit: truncate after this many steps; None for no limit
    :param max_episode_steps: the same as Gymnasium passes it (None and -1 mean none); the shorter of the two counts
    :param autoreset_mode: when a finished environment begins anew: an ``AutoresetMode`` or its value
    :param render_mode: "rgb_array", "ansi" or None
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": 8,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        world: World,
        num_envs: int = 1,
        *,
        time_limit: int | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(world)
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        check_choice("autoreset_mode", autoreset_mode, (*AutoresetMode, *(mode.value for mode in AutoresetMode)))
        self.num_envs = check_num_envs(num_envs)
        self.render_mode = render_mode
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = world.observation_space
        self.single_action_space = spaces.Discrete(world.num_actions)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

        limits = (
            check_time_limit(time_limit),
            check_time_limit(None if max_episode_steps == -1 else max_episode_steps, "max_episode_steps"),
        )
        self.time_limit = min((limit for limit in limits if limit is not None), default=None)
        self._limit = np.iinfo(np.intp).max if self.time_limit is None else self.time_limit
        self._generators = RowGenerators(self.num_envs)
        self._states: IntArray = np.full(self.num_envs, -1, dtype=np.intp)
        self._elapsed: IntArray = np.zeros(self.num_envs, dtype=np.intp)
        # Rows that ended at the last step and wait for their reset.
        self._ended: BoolArray = np.zeros(self.num_envs, dtype=np.bool_)
        self._any_ended = False
        self._begun = False
        self._commanded_goals: IntArray | None = None

    @property
    def state(self) -> IntArray:
        """The number of each environment's current state."""
        self._check_begun()
        return self._states.copy()

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """Each environment's random generator."""
        return tuple(self._generators[row] for row in range(self.num_envs))

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """Each environment's seed."""
        return tuple(self._generators.seed_of(row) for row in range(self.num_envs))

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """
        Begin an episode in every environment, or in those of a mask.

        :param seed: row i is seeded with ``seed + i``, or with item i of a list
        :param options: ``{"start": place}`` begins there; ``{"reset_mask": bool[N]}`` resets only these environments
        :return: observations and infos with ``goals_achieved``
        """
        seeds = row_seeds(seed, self.num_envs)
        options = dict(options or {})
        mask = check_reset_mask(options.pop("reset_mask", None), self.num_envs)
        rows = np.flatnonzero(mask)
        for row in rows.tolist():
            if seeds[row] is not None:
                self._generators.reseed(row, seeds[row])
        if not self._begun and len(rows) < self.num_envs:
            raise ResetNeeded("expected a first reset of all environments, got a reset_mask; call reset() without it first")
        start = options.get("start")
        self._restart(self._states, rows, None if start is None else self.world.state_at(start))
        self._begun = True
        self._ended[rows] = False
        self._any_ended = bool(self._ended.any())
        return self.world.observe(self._states), self._infos(self._states, mask)

    def step(self, actions: npt.ArrayLike) -> Step:  # type: ignore[override]
        """
        Take one step in every environment.

        :param actions: one action for each environment
        :return: observations, rewards 0.0, terminations False, truncations at the time limit, and infos with
            ``goals_achieved``
        """
        self._check_begun()
        waiting = self._waiting_rows()
        if waiting is not None:
            # Their actions are ignored, whatever they are.
            actions = np.array(actions)
            if actions.shape == (self.num_envs,):
                actions[waiting] = 0
        states = self.world.next_states(self._states, check_actions(actions, self.num_envs, self.world.num_actions))
        self._elapsed += 1
        if waiting is not None:
            self._restart(states, waiting)
        truncated: BoolArray = self._elapsed >= self._limit
        self._ended, self._any_ended = truncated, bool(truncated.any())
        final: dict[str, Any] = {}
        if self._any_ended and self.autoreset_mode is AutoresetMode.SAME_STEP:
            rows = np.flatnonzero(truncated)
            final = final_infos(truncated, self.world.observe(states[rows]), self.world.achieved(states[rows]))
            self._restart(states, rows)
        self._states = states
        infos = self._infos(states) | final
        zeros, running = np.zeros(self.num_envs, dtype=np.float64), np.zeros(self.num_envs, dtype=np.bool_)
        return self.world.observe(states), zeros, running, truncated.copy(), infos

    def set_commanded_goals(self, goal_ids: npt.ArrayLike | None) -> None:
        """
        Draw these goals in the pictures to come; it changes nothing else.

        :param goal_ids: one goal for each environment, or None for none
        """
        if goal_ids is None:
            self._commanded_goals = None
            return
        goals = np.asarray(goal_ids)
        if goals.shape != (self.num_envs,):
            raise ValueError(f"expected {self.num_envs} goal ids, got shape {goals.shape}; pass one for each environment")
        self._commanded_goals = np.array([self.goal_set.index(goal) for goal in goals.tolist()], dtype=np.intp)

    def render(self) -> tuple[Any, ...] | None:
        """
        Draw the current state of every environment.

        :return: one picture (or text, in mode "ansi") for each environment, None without a render mode
        """
        self._check_begun()
        if self.render_mode is None:
            return None
        draw = self.world.painter.text if self.render_mode == "ansi" else self.world.painter.frame
        goals = [None] * self.num_envs if self._commanded_goals is None else self._commanded_goals.tolist()
        return tuple(draw(state, goal) for state, goal in zip(self._states.tolist(), goals, strict=True))

    def _check_begun(self) -> None:
        if not self._begun:
            raise ResetNeeded("expected episodes under way, got a fresh vector environment; call reset() first")

    def _waiting_rows(self) -> IntArray | None:
        """The rows that begin anew with this step instead of stepping."""
        if not self._any_ended or self.autoreset_mode is AutoresetMode.SAME_STEP:
            return None
        if self.autoreset_mode is AutoresetMode.DISABLED:
            raise reset_needed(self._ended)
        return np.flatnonzero(self._ended)

    def _restart(self, states: IntArray, rows: IntArray, start: int | None = None) -> None:
        self._elapsed[rows] = 0
        if start is not None:
            states[rows] = start
        elif len(self.world.starts) == 1:
            states[rows] = self.world.starts[0]
        else:
            states[rows] = [self.world.draw_start(self._generators[row]) for row in rows]

    def _infos(self, states: IntArray, rows: BoolArray | None = None) -> dict[str, Any]:
        achieved = self.world.achieved(states)
        if rows is None:
            return {"goals_achieved": achieved, "_goals_achieved": np.ones(self.num_envs, dtype=np.bool_)}
        achieved[~rows] = False
        return {"goals_achieved": achieved, "_goals_achieved": rows.copy()}
