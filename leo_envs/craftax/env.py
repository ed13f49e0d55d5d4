"""Craftax as a Gymnasium environment."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from leo_envs.common.mdp import Frame
from leo_envs.common.window import Window, warn_no_render_mode
from leo_envs.craftax.functional import TIME_LIMIT, CraftaxBase, make_craftax
from leo_envs.craftax.keys import action_names, keys_to_action
from leo_envs.craftax.rendering import Painter
from leo_wrappers.goal_set import Goal
from leo_wrappers.jax_envs import JaxEnv
from leo_wrappers.validation import check_choice


class CraftaxEnv(JaxEnv):
    """
    Craftax (``leo/Craftax-v0``) or Craftax-Classic (``leo/CraftaxClassic-v0``).

    :param variant: ``"full"`` or ``"classic"``
    :param observation: ``"compact"``, ``"symbolic"`` or ``"pixels"``
    :param goals: names or ids of some goals; all 512 or 136 goals when None
    :param time_limit: truncate after this many steps; no limit when None
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
    functional_env: CraftaxBase

    def __init__(
        self,
        variant: str = "full",
        *,
        observation: str = "compact",
        goals: Sequence[Goal] | None = None,
        time_limit: int | None = TIME_LIMIT,
        render_mode: str | None = None,
    ) -> None:
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        super().__init__(make_craftax(variant, observation, goals, time_limit))
        self.render_mode = render_mode
        self.commanded_goal: int | None = None
        self._achieved: npt.NDArray[np.bool_] = np.zeros(len(self.goal_names), dtype=np.bool_)
        self._painter = Painter(variant, self.goal_names)
        self._window = Window(f"Craftax ({variant})", self.metadata["render_fps"])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """
        Start a new episode.

        :param seed: seed of the random generator
        :param options: unused
        :return: observation and info with ``goals_achieved``
        """
        obs, info = super().reset(seed=seed, options=options)
        self._update_rendering(info)
        return obs, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """
        Take one step.

        :param action: the action, an integer
        :return: observation, Craftax's own reward, terminated, truncated, and info with ``goals_achieved``
        """
        obs, reward, terminated, truncated, info = super().step(action)
        self._update_rendering(info)
        return obs, reward, terminated, truncated, info

    def goal_signal(self, observation: Any, info: dict[str, Any]) -> Any:
        """
        Return the signal of ``goal_set``, from which the checkers compute the mask again.

        :param observation: unused
        :param info: unused
        :return: the current state, an ``EnvState``
        """
        return self.state

    def set_commanded_goal(self, goal_id: int | None) -> None:
        """
        Set the goal that :meth:`render` writes below the frame; nothing else depends on it.

        :param goal_id: the goal, or None for no caption
        """
        self.commanded_goal = None if goal_id is None else self.goal_set.index(goal_id)

    def get_keys_to_action(self) -> dict[tuple[str, ...], int]:
        """
        Return the key bindings for ``gymnasium.utils.play``.

        :return: mapping of keys to actions
        """
        return keys_to_action(self.functional_env.variant)

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions."""
        return action_names(self.functional_env.variant)

    def render(self) -> Frame | None:  # type: ignore[override]
        """
        Render the current state.

        :return: RGB array in mode "rgb_array"; None in mode "human", which shows a window
        """
        if self.render_mode is None:
            warn_no_render_mode()
            return None
        frame = self._painter.frame(self.state, self.commanded_goal, self._achieved)
        if self.render_mode == "rgb_array":
            return frame
        self._window.show(frame)
        return None

    def close(self) -> None:
        """Close the window, if one is open."""
        self._window.close()

    def _update_rendering(self, info: dict[str, Any]) -> None:
        self._achieved = info["goals_achieved"].copy()
        if self.render_mode == "human":
            self.render()
