"""Many games of Craftax as a Gymnasium vector environment."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode

from leo_envs.common.mdp import Frame
from leo_envs.craftax.functional import TIME_LIMIT, make_game
from leo_envs.craftax.rendering import Painter
from leo_wrappers.goal_set import Goal
from leo_wrappers.jax_envs import JaxVectorEnv
from leo_wrappers.jax_envs.arrays import row_of
from leo_wrappers.validation import check_choice, check_time_limit


class CraftaxVectorEnv(JaxVectorEnv):
    """
    Many games at once; row i equals a :class:`CraftaxEnv` seeded with ``seed + i``.

    :param num_envs: the number of games
    :param game: ``"full"`` or ``"classic"``
    :param observation: as in :class:`CraftaxEnv`
    :param goals: as in :class:`CraftaxEnv`
    :param time_limit: truncate after this many steps; None for no limit
    :param max_episode_steps: the same as Gymnasium passes it (None and -1 mean none); the shorter of the two counts
    :param autoreset_mode: when a finished game begins anew: an ``AutoresetMode`` or its value
    :param render_mode: "rgb_array" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> envs = gym.make_vec("leo/CraftaxClassic-v0", num_envs=4)
        >>> obs, infos = envs.reset(seed=0)
        >>> obs["blocks"].shape, infos["goals_achieved"].shape
        ((4, 7, 9), (4, 136))
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": 10,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        game: str = "full",
        *,
        observation: str = "compact",
        goals: Sequence[Goal] | None = None,
        time_limit: int | None = TIME_LIMIT,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        limits = (time_limit, check_time_limit(None if max_episode_steps == -1 else max_episode_steps, "max_episode_steps"))
        limit = min((limit for limit in limits if limit is not None), default=None)
        super().__init__(make_game(game, observation, goals, limit), num_envs, autoreset_mode=autoreset_mode)
        self.render_mode = render_mode
        self._painter = Painter(game, self.goal_names)
        self._commanded_goals: list[int | None] = [None] * self.num_envs

    def set_commanded_goals(self, goal_ids: npt.ArrayLike | None) -> None:
        """
        Write these goals below the pictures to come; it changes nothing else.

        :param goal_ids: one goal for each game, or None for none
        """
        if goal_ids is None:
            self._commanded_goals = [None] * self.num_envs
            return
        goals = np.asarray(goal_ids)
        if goals.shape != (self.num_envs,):
            raise ValueError(f"expected {self.num_envs} goal ids, got shape {goals.shape}; pass one for each environment")
        self._commanded_goals = [self.goal_set.index(goal) for goal in goals.tolist()]

    def render(self) -> tuple[Frame, ...] | None:
        """
        Draw the current state of every game.

        :return: one picture for each, None without a render mode
        """
        if self.render_mode is None:
            return None
        states = jax.device_get(self.states)
        achieved = self.goal_set.achieved(self.states)
        return tuple(
            self._painter.frame(row_of(states, row), self._commanded_goals[row], achieved[row]) for row in range(self.num_envs)
        )
