"""Gymnasium environment on a finite MDP."""

from typing import Any

import gymnasium as gym
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from leo_envs.common.mdp import FiniteMDP, FloatArray, Frame
from leo_envs.common.mdp_mixin import FiniteMDPMixin
from leo_envs.common.window import Window, warn_no_render_mode
from leo_wrappers.validation import check_action, check_choice, check_time_limit


class FiniteMDPEnv(FiniteMDPMixin, gym.Env[FloatArray, Any]):
    """
    Gymnasium environment on a finite MDP. The reward is always 0.0 and no state is terminal: a goal-conditioned wrapper
    computes the reward of the commanded goal from ``info["goals_achieved"]``.

    :param mdp: dynamics, observations and goals
    :param time_limit: truncate after this many steps; no limit when None
    :param render_mode: "rgb_array", "human", "ansi" or None
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human", "ansi"], "render_fps": 8}  # noqa: RUF012

    def __init__(self, mdp: FiniteMDP, *, time_limit: int | None = None, render_mode: str | None = None) -> None:
        super().__init__(mdp)
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        self.render_mode = render_mode
        self.time_limit = check_time_limit(time_limit)
        self.observation_space = mdp.observation_space
        self.action_space = spaces.Discrete(mdp.num_actions)
        self.commanded_goal: int | None = None
        self._state: int | None = None
        self._elapsed = 0
        self._window = Window(type(self).__name__, self.metadata["render_fps"])

    @property
    def state(self) -> int:
        """The current state as a number, the row of :meth:`optimal_q` and :meth:`distances`."""
        if self._state is None:
            raise ResetNeeded("expected a running episode, got an environment before its first reset; call reset() first")
        return self._state

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[FloatArray, dict[str, Any]]:
        """
        Start a new episode.

        :param seed: seed of the random start states
        :param options: ``{"start": start}`` sets the start state of this episode
        :return: observation and info with ``goals_achieved``
        """
        super().reset(seed=seed)
        self._state = self._start_state(options)
        self._elapsed = 0
        return self._observe()

    def step(self, action: Any) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """
        Take one step.

        :param action: the action, an integer
        :return: observation, reward 0.0, terminated False, truncated, and info with ``goals_achieved``
        """
        self._state = int(self.mdp.next_states(self.state, check_action(action, self.mdp.num_actions)))
        self._elapsed += 1
        truncated = self.time_limit is not None and self._elapsed >= self.time_limit
        observation, info = self._observe()
        return observation, 0.0, False, truncated, info

    def set_commanded_goal(self, goal_id: int | None) -> None:
        """
        Set the goal that :meth:`render` draws; nothing else depends on it.

        :param goal_id: the goal, or None to draw none
        """
        self.commanded_goal = None if goal_id is None else self.goal_set.index(goal_id)

    def render(self) -> Frame | str | None:  # type: ignore[override]
        """
        Render the current state.

        :return: RGB array in mode "rgb_array", text in mode "ansi"; None in mode "human", which shows a window
        """
        if self.render_mode is None:
            warn_no_render_mode()
            return None
        if self.render_mode == "ansi":
            return self.mdp.painter.text(self.state, self.commanded_goal)
        frame = self.mdp.painter.frame(self.state, self.commanded_goal)
        if self.render_mode == "rgb_array":
            return frame
        self._window.show(frame)
        return None

    def close(self) -> None:
        """Close the window, if one is open."""
        self._window.close()

    def _start_state(self, options: dict[str, Any] | None) -> int:
        if options and options.get("start") is not None:
            return self.mdp.state_at(options["start"])
        if len(self.mdp.starts) == 1:
            return int(self.mdp.starts[0])
        return self.mdp.sample_start(self.np_random)

    def _observe(self) -> tuple[FloatArray, dict[str, Any]]:
        if self.render_mode == "human":
            self.render()
        return self.mdp.observe(self.state), {"goals_achieved": self.mdp.achieved(self.state)}
