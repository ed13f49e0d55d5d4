"""Environments around the simulation of another package: rendering and the commanded goal as a caption."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
from gymnasium.error import ResetNeeded

from leo_envs.common.caption import with_caption
from leo_envs.common.mdp import Frame
from leo_envs.common.window import Window, warn_no_render_mode
from leo_wrappers.goal_set import BoolArray, GoalSet
from leo_wrappers.validation import check_choice


class SimulationEnv(gym.Env[Any, Any]):
    """
    Base class of MiniGrid and Atari. Subclasses set ``goal_set`` and ``goal_names``, keep the mask of each state by
    :meth:`_record`, and draw it in :meth:`_frame`.

    :param title: title of the window
    :param render_mode: "rgb_array", "human" or None
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 10}  # noqa: RUF012
    goal_set: GoalSet
    goal_names: tuple[str, ...]

    def __init__(self, title: str, render_mode: str | None) -> None:
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        self.render_mode = render_mode
        self.commanded_goal: int | None = None
        self._achieved: BoolArray | None = None
        self._window = Window(title, self.metadata["render_fps"])

    def goal_signal(self, observation: Any, info: dict[str, Any]) -> Any:
        """
        Return the signal of ``goal_set``.

        :param observation: an observation, or a batch
        :param info: unused
        :return: the observation
        """
        return observation

    def set_commanded_goal(self, goal_id: int | None) -> None:
        """
        Set the goal that :meth:`render` writes below the frame; nothing else depends on it.

        :param goal_id: the goal, or None for no caption
        """
        self.commanded_goal = None if goal_id is None else self.goal_set.index(goal_id)

    def render(self) -> Frame | None:  # type: ignore[override]
        """
        Render the current state.

        :return: RGB array in mode "rgb_array"; None in mode "human", which shows a window
        """
        if self.render_mode is None:
            warn_no_render_mode()
            return None
        achieved, frame = self._check_running(), self._frame()
        if self.commanded_goal is not None:
            frame = with_caption(frame, self._captions()[self.commanded_goal], bool(achieved[self.commanded_goal]))
        if self.render_mode == "rgb_array":
            return frame
        self._window.show(frame)
        return None

    def close(self) -> None:
        """Close the window, if one is open."""
        self._window.close()

    @abstractmethod
    def _frame(self) -> Frame:
        """Draw the current state."""

    def _captions(self) -> Sequence[str]:
        """Return the text of each goal."""
        return self.goal_names

    def _record(self, achieved: BoolArray) -> BoolArray:
        """Keep the mask of the state just reached, and show the state in mode "human"; return a copy."""
        self._achieved = achieved
        if self.render_mode == "human":
            self.render()
        return achieved.copy()

    def _check_running(self) -> BoolArray:
        if self._achieved is None:
            raise ResetNeeded("expected a running episode, got an environment before its first reset; call reset() first")
        return self._achieved
