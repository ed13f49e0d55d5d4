"""Craftax as a Gymnasium environment."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from leo_envs.common.mdp import Frame
from leo_envs.common.window import Window
from leo_envs.craftax.functional import TIME_LIMIT, make_game
from leo_envs.craftax.keys import action_names, keys_to_action
from leo_envs.craftax.rendering import Painter
from leo_wrappers.goal_set import Goal
from leo_wrappers.jax_envs import JaxEnv
from leo_wrappers.validation import check_choice


class CraftaxEnv(JaxEnv):
    """
    One game of Craftax (``leo/Craftax-v0``) or Craftax-Classic (``leo/CraftaxClassic-v0``).

    :param game: ``"full"`` or ``"classic"``
    :param observation: ``"compact"``, ``"symbolic"`` or ``"pixels"``
    :param goals: only these goals, by name or index; all 512 or 136 when None
    :param time_limit: truncate after this many steps; None for no limit
    :param render_mode: "rgb_array", "human" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> env = gym.make("leo/CraftaxClassic-v0")
        >>> obs, info = env.reset(seed=0)
        >>> obs["blocks"].shape, info["goals_achieved"].shape
        ((7, 9), (136,))
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self,
        game: str = "full",
        *,
        observation: str = "compact",
        goals: Sequence[Goal] | None = None,
        time_limit: int | None = TIME_LIMIT,
        render_mode: str | None = None,
    ) -> None:
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        super().__init__(make_game(game, observation, goals, time_limit))
        self.render_mode = render_mode
        self.commanded_goal: int | None = None
        self._achieved: npt.NDArray[np.bool_] = np.zeros(len(self.goal_names), dtype=np.bool_)
        self._painter = Painter(game, self.goal_names)
        self._window = Window(f"Craftax ({game})", self.metadata["render_fps"])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """
        Begin a game.

        :param seed: seeds everything from here on
        :param options: none are known
        :return: the observation and the info with ``goals_achieved``
        """
        obs, info = super().reset(seed=seed, options=options)
        self._show(info)
        return obs, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """
        Take one step.

        :param action: the action's number
        :return: observation, the game's reward, terminated, truncated and the info with ``goals_achieved``
        """
        *result, info = super().step(action)
        self._show(info)
        return (*result, info)  # type: ignore[return-value]

    def set_commanded_goal(self, goal_id: int | None) -> None:
        """
        Write this goal below the pictures to come; it changes nothing else.

        :param goal_id: the goal, or None for none
        """
        self.commanded_goal = None if goal_id is None else self.goal_set.index(goal_id)

    def get_keys_to_action(self) -> dict[tuple[str, ...], int]:
        """
        The keyboard, as ``gymnasium.utils.play`` wants to know it.

        :return: which action each key takes
        """
        return keys_to_action(self.functional_env.game)  # type: ignore[attr-defined]

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each action is called."""
        return action_names(self.functional_env.game)  # type: ignore[attr-defined]

    def render(self) -> Frame | None:  # type: ignore[override]
        """
        Draw the current state.

        :return: an RGB array in mode "rgb_array"; None in mode "human", which shows a window
        """
        if self.render_mode is None:
            gym.logger.warn('render() draws nothing without a render mode; make the environment with render_mode="rgb_array".')
            return None
        frame = self._painter.frame(self.state, self.commanded_goal, self._achieved)
        if self.render_mode == "rgb_array":
            return frame
        self._window.show(frame)
        return None

    def close(self) -> None:
        """Close the window, if there is one."""
        self._window.close()

    def _show(self, info: dict[str, Any]) -> None:
        self._achieved = info["goals_achieved"].copy()
        if self.render_mode == "human":
            self.render()
