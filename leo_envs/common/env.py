"""A Gymnasium environment over a world."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from leo_envs.common.mdp import FloatArray, Frame, World
from leo_envs.common.mdp_env import FiniteMDPView
from leo_envs.common.window import Window
from leo_wrappers.validation import check_action, check_choice, check_time_limit


class WorldEnv(FiniteMDPView, gym.Env[FloatArray, np.int64]):
    """
    One episode at a time in a world. The reward is always 0.0 and nothing terminates: a goal-conditioned wrapper makes the
    reward of the goal it commands from ``info["goals_achieved"]``.

    :param world: the rules
    :param time_limit: truncate after this many steps; None for no limit of its own
    :param render_mode: "rgb_array", "human", "ansi" or None
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human", "ansi"], "render_fps": 8}  # noqa: RUF012

    def __init__(self, world: World, *, time_limit: int | None = None, render_mode: str | None = None) -> None:
        super().__init__(world)
        check_choice("render_mode", render_mode, (None, *self.metadata["render_modes"]))
        self.render_mode = render_mode
        self.time_limit = check_time_limit(time_limit)
        self.observation_space = world.observation_space
        self.action_space = spaces.Discrete(world.num_actions)
        self.commanded_goal: int | None = None
        self._state: int | None = None
        self._elapsed = 0
        self._window = Window(type(self).__name__, self.metadata["render_fps"])

    @property
    def state(self) -> int:
        """The number of the current state."""
        if self._state is None:
            raise ResetNeeded("expected an episode under way, got a fresh environment; call reset() first")
        return self._state

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[FloatArray, dict[str, Any]]:
        """
        Begin an episode.

        :param seed: seeds the start states from here on
        :param options: ``{"start": place}`` begins this episode there
        :return: the observation and the info with ``goals_achieved``
        """
        super().reset(seed=seed)
        self._state = self._start(options)
        self._elapsed = 0
        return self._shown()

    def step(self, action: Any) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """
        Take one step.

        :param action: the action's number
        :return: observation, reward 0.0, terminated False, truncated at the time limit, and the info with ``goals_achieved``
        """
        self._state = int(self.world.next_states(self.state, check_action(action, self.world.num_actions)))
        self._elapsed += 1
        truncated = self.time_limit is not None and self._elapsed >= self.time_limit
        observation, info = self._shown()
        return observation, 0.0, False, truncated, info

    def set_commanded_goal(self, goal_id: int | None) -> None:
        """
        Draw this goal in the pictures to come; it changes nothing else.

        :param goal_id: the goal, or None for none
        """
        self.commanded_goal = None if goal_id is None else self.goal_set.index(goal_id)

    def render(self) -> Frame | str | None:  # type: ignore[override]
        """
        Draw the current state.

        :return: an RGB array in mode "rgb_array", text in mode "ansi"; None in mode "human", which shows a window
        """
        if self.render_mode is None:
            gym.logger.warn('render() draws nothing without a render mode; make the environment with render_mode="rgb_array".')
            return None
        if self.render_mode == "ansi":
            return self.world.painter.text(self.state, self.commanded_goal)
        frame = self.world.painter.frame(self.state, self.commanded_goal)
        if self.render_mode == "rgb_array":
            return frame
        self._window.show(frame)
        return None

    def close(self) -> None:
        """Close the window, if there is one."""
        self._window.close()

    def _start(self, options: dict[str, Any] | None) -> int:
        if options and options.get("start") is not None:
            return self.world.state_at(options["start"])
        if len(self.world.starts) == 1:
            return int(self.world.starts[0])
        return self.world.draw_start(self.np_random)

    def _shown(self) -> tuple[FloatArray, dict[str, Any]]:
        if self.render_mode == "human":
            self.render()
        return self.world.observe(self.state), {"goals_achieved": self.world.achieved(self.state)}
