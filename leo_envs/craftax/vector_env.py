"""Craftax as a Gymnasium vector environment."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy.typing as npt
from gymnasium.vector import AutoresetMode

from leo_envs.common.mdp import Frame
from leo_envs.common.vector_env import check_commanded_goals, shorter_time_limit
from leo_envs.craftax.functional import TIME_LIMIT, make_craftax
from leo_envs.craftax.rendering import Painter
from leo_wrappers.goal_set import Goal
from leo_wrappers.jax_envs import JaxVectorEnv
from leo_wrappers.jax_envs.arrays import row_of
from leo_wrappers.validation import check_choice


class CraftaxVectorEnv(JaxVectorEnv):
    """
    N parallel Craftax environments; environment i equals a :class:`CraftaxEnv` seeded with ``seed + i``.

    :param num_envs: number of environments, N
    :param variant: ``"full"`` or ``"classic"``
    :param observation: as in :class:`CraftaxEnv`
    :param goals: as in :class:`CraftaxEnv`
    :param time_limit: truncate after this many steps; no limit when None
    :param max_episode_steps: time limit passed by ``gym.make_vec`` (None and -1 mean no limit); the shorter limit applies
    :param autoreset_mode: an ``AutoresetMode`` or its value
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
        variant: str = "full",
        *,
        observation: str = "compact",
        goals: Sequence[Goal] | None = None,
        time_limit: int | None = TIME_LIMIT,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        functional_env = make_craftax(variant, observation, goals, shorter_time_limit(time_limit, max_episode_steps))
        super().__init__(functional_env, num_envs, autoreset_mode=autoreset_mode)
        self.render_mode = render_mode
        self._painter = Painter(variant, self.goal_names)
        self._commanded_goals: list[int | None] = [None] * self.num_envs

    def set_commanded_goals(self, goal_ids: npt.ArrayLike | None) -> None:
        """
        Set the goals that :meth:`render` writes below the frames; nothing else depends on them.

        :param goal_ids: one goal per environment, ``[N]``, or None for no captions
        """
        self._commanded_goals = check_commanded_goals(goal_ids, self.goal_set, self.num_envs)

    def render(self) -> tuple[Frame, ...] | None:
        """
        Render the current state of every environment.

        :return: one RGB array per environment; None without a render mode
        """
        if self.render_mode is None:
            return None
        states = jax.device_get(self.states)
        achieved = self.goal_set.achieved(self.states)
        return tuple(
            self._painter.frame(row_of(states, row), self._commanded_goals[row], achieved[row]) for row in range(self.num_envs)
        )
