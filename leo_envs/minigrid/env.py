"""MiniGrid and BabyAI as multi-goal environments."""

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import minigrid
import numpy as np
from gymnasium import spaces
from gymnasium.error import Error
from minigrid.minigrid_env import MiniGridEnv as Simulation

from leo_envs.common.mdp import Frame
from leo_envs.common.simulation_env import SimulationEnv
from leo_envs.minigrid.goals import MiniGridGoals
from leo_envs.minigrid.observations import BinaryArray, observe
from leo_wrappers.validation import check_action, check_bool

gym.register_envs(minigrid)


class MiniGridEnv(SimulationEnv):
    """
    Any level of MiniGrid or BabyAI as a multi-goal environment. With the same seed and actions, states are those of the
    original.

    - **Actions**: those of the level, usually ``Discrete(7)``: left, right, forward, pickup, drop, toggle, done.
    - **Observation**: the whole grid, the carried object and the agent's direction as a binary vector, uint8. The original's
      view of 7x7 cells is not used.
    - **Goals**: see :class:`MiniGridGoals`. ``goal_set.instructions`` has a text for each of them.
    - **Info**: "instruction": the mission of the episode, such as "go to the red ball".
    - **Reward**: that of the level, above 0 if the mission is complete.
    - **Termination**: by lava and other failures. The mission's success does not end an episode, so that all other goals stay
      within reach, unless ``mission_ends_episode``. Truncation is that of the level, after ``max_steps`` steps.

    :param level: id of a registered MiniGrid or BabyAI environment
    :param goals: names of goals, or patterns such as "cell/*" and "*/yellow key"; all of them when None
    :param mission_ends_episode: whether the mission's success terminates the episode, as in the original
    :param render_mode: "rgb_array", "human" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> env = gym.make("leo/BabyAI-GoToLocal-v0")
        >>> obs, info = env.reset(seed=0)
        >>> mission = env.unwrapped.goal_set.index_of_instruction(info["instruction"])
        >>> env.unwrapped.goal_set.instructions[mission] == info["instruction"]
        True
    """

    goal_set: MiniGridGoals

    def __init__(
        self,
        level: str = "MiniGrid-Empty-8x8-v0",
        *,
        goals: Iterable[str] | None = None,
        mission_ends_episode: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(level, render_mode)
        check_bool("mission_ends_episode", mission_ends_episode)
        self.simulation = _make_simulation(level)
        all_goals = MiniGridGoals(self.simulation.width, self.simulation.height)
        self.goal_set = all_goals if goals is None else all_goals.matching(goals)
        self.goal_names = self.goal_set.names
        self.observation_space = spaces.Box(0, 1, self.goal_set.signal_shape, np.uint8)
        self.action_space = self.simulation.action_space
        self._num_actions = int(self.simulation.action_space.n)
        self.mission_ends_episode = mission_ends_episode

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions."""
        return tuple(action.name for action in self.simulation.actions)[: self._num_actions]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[BinaryArray, dict[str, Any]]:
        """
        Start a new episode.

        :param seed: seed of the level's random generator
        :param options: unused
        :return: observation and info with ``goals_achieved`` and ``instruction``
        """
        super().reset(seed=seed)
        # BabyAI prints every level that it rejects.
        with contextlib.redirect_stdout(io.StringIO()):
            self.simulation.reset(seed=seed)
        return self._observe()

    def step(self, action: Any) -> tuple[BinaryArray, float, bool, bool, dict[str, Any]]:
        """
        Take one step.

        :param action: the action, an integer
        :return: observation, the level's own reward, terminated, truncated, and info with ``goals_achieved`` and
            ``instruction``
        """
        self._check_running()
        _, reward, terminated, truncated, _ = self.simulation.step(check_action(action, self._num_actions))
        observation, info = self._observe()
        terminated = terminated and (self.mission_ends_episode or reward <= 0)
        return observation, float(reward), bool(terminated), bool(truncated), info

    def get_keys_to_action(self) -> dict[tuple[str, ...], int]:
        """
        Return the key bindings for ``gymnasium.utils.play``.

        :return: mapping of keys to actions
        """
        return dict(zip((("a",), ("d",), ("w",), ("e",), ("q",), (" ",), ("r",)), range(self._num_actions), strict=False))

    def _frame(self) -> Frame:
        frame: Frame = self.simulation.get_frame(highlight=False, tile_size=self.simulation.tile_size)
        return frame

    def _captions(self) -> Sequence[str]:
        return self.goal_set.instructions

    def _observe(self) -> tuple[BinaryArray, dict[str, Any]]:
        observation = observe(self.simulation)
        achieved = self._record(self.goal_set.achieved(observation))
        return observation, {"goals_achieved": achieved, "instruction": self.simulation.mission}


def _make_simulation(level: str) -> Any:
    expected = "expected the id of a registered MiniGrid or BabyAI environment such as 'BabyAI-GoToLocal-v0'"
    if not isinstance(level, str):
        raise TypeError(f"{expected}, got {level!r}; pass a string")
    try:
        simulation = gym.make(level, disable_env_checker=True).unwrapped
    except Error as error:
        raise ValueError(f"{expected}, got {level!r} ({error}); choose one of gymnasium.registry") from error
    if not isinstance(simulation, Simulation):
        raise ValueError(f"{expected}, got {level!r}, which is another kind of environment; wrap that with MultiGoalWrapper")
    return simulation
