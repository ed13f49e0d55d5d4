"""JAX environments with rendering and a commanded goal as a caption: base classes of Craftax and XLand-MiniGrid."""

from typing import Any, Protocol

import jax
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode

from leo_envs.common.mdp import BoolArray, Frame
from leo_envs.common.vector_env import check_commanded_goals
from leo_envs.common.window import Window, warn_no_render_mode
from leo_wrappers.jax_envs import FunctionalEnv, JaxEnv, JaxVectorEnv
from leo_wrappers.jax_envs.arrays import row_of
from leo_wrappers.validation import check_choice


class StatePainter(Protocol):
    """Renderer of the states of a functional environment."""

    def frame(self, state: Any, goal: int | None, achieved: BoolArray) -> Frame:
        """Return a state as an RGB array ``[height, width, 3]``, with the commanded goal below it unless that is None."""
        ...


class RenderedJaxEnv(JaxEnv):
    """
    A :class:`~leo_wrappers.jax_envs.JaxEnv` with rendering.

    :param env: the functional environment
    :param painter: renderer of its states
    :param title: title of the window
    :param render_mode: "rgb_array", "human" or None
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, env: FunctionalEnv, painter: StatePainter, title: str, render_mode: str | None) -> None:
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        super().__init__(env)
        self.render_mode = render_mode
        self.commanded_goal: int | None = None
        self._achieved: BoolArray = np.zeros(len(self.goal_names), dtype=np.bool_)
        self._painter = painter
        self._window = Window(title, self.metadata["render_fps"])

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
        :return: observation, the original's own reward, terminated, truncated, and info with ``goals_achieved``
        """
        obs, reward, terminated, truncated, info = super().step(action)
        self._update_rendering(info)
        return obs, reward, terminated, truncated, info

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


class RenderedJaxVectorEnv(JaxVectorEnv):
    """
    A :class:`~leo_wrappers.jax_envs.JaxVectorEnv` with rendering.

    :param env: the functional environment
    :param num_envs: number of environments, N
    :param painter: renderer of its states
    :param autoreset_mode: an ``AutoresetMode`` or its value
    :param render_mode: "rgb_array" or None
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": 10,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        env: FunctionalEnv,
        num_envs: int,
        painter: StatePainter,
        autoreset_mode: str | AutoresetMode,
        render_mode: str | None,
    ) -> None:
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        super().__init__(env, num_envs, autoreset_mode=autoreset_mode)
        self.render_mode = render_mode
        self._painter = painter
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
        assert self._observed is not None
        achieved = np.asarray(self._observed.goals_achieved)
        return tuple(
            self._painter.frame(row_of(states, row), self._commanded_goals[row], achieved[row]) for row in range(self.num_envs)
        )
