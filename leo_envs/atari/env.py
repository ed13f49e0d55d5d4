"""Atari games as multi-goal environments."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from ale_py import ALEInterface, LoggerMode
from ale_py.env import AtariEnv as Simulation
from gymnasium import spaces

from leo_envs.atari.goals import RAM_SIZE, AtariGoals
from leo_envs.common.goal_patterns import matching_names
from leo_envs.common.mdp import FloatArray, Frame
from leo_envs.common.simulation_env import SimulationEnv
from leo_wrappers.validation import check_action, check_bool, check_fraction, check_integer

MAX_FRAMES = 108_000
"""Frames of an episode: half an hour of play, as in the environments of ale-py."""


class AtariEnv(SimulationEnv):
    """
    An Atari game as a multi-goal environment: the goals are read from the console's memory. The frames per step, the
    sticky actions and the action set are those of ale-py's ``ALE/...-v5`` environments.

    - **Actions**: the game's minimal set, ``Discrete(18)``, in Ms. Pac-Man ``Discrete(9)``; see ``action_names``.
    - **Observation**: the 128 bytes of the memory, float32 from 0 to 255. Agents of this library standardize it.
    - **Goals**: see :class:`AtariGoals`.
    - **Info**: "lives": the number of lives left.
    - **Reward**: the increase of the score.
    - **Termination**: by the last death, or by any with ``life_loss_ends_episode``. Truncation after half an hour of play,
      27,000 steps; the registered games have a shorter limit.

    :param game: "montezuma_revenge", "ms_pacman" or "pitfall"
    :param goals: names of goals, or patterns such as "room/*" and "cell/1/*"; all of the game when None
    :param frameskip: number of frames for which an action is repeated
    :param repeat_action_probability: probability with which a frame repeats the previous action instead (sticky actions)
    :param life_loss_ends_episode: whether the loss of a life terminates the episode
    :param render_mode: "rgb_array", "human" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> env = gym.make("leo/MontezumaRevenge-v0")
        >>> obs, info = env.reset(seed=0)
        >>> [env.unwrapped.goal_names[goal] for goal in info["goals_achieved"].nonzero()[0]]
        ['room/1', 'cell/1/1,4']
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 15}  # noqa: RUF012

    def __init__(
        self,
        game: str = "montezuma_revenge",
        *,
        goals: Iterable[str] | None = None,
        frameskip: int = 4,
        repeat_action_probability: float = 0.25,
        life_loss_ends_episode: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(game, render_mode)
        check_bool("life_loss_ends_episode", life_loss_ends_episode)
        check_integer("frameskip", frameskip, 1, MAX_FRAMES)
        check_fraction("repeat_action_probability", repeat_action_probability)
        all_goals = AtariGoals(game)
        self.goal_set = all_goals if goals is None else all_goals.subset(matching_names(all_goals.names, goals))
        self.goal_names = self.goal_set.names
        self.game, self.frameskip = game, frameskip
        self.repeat_action_probability = repeat_action_probability
        self.simulation = _make_simulation(game)
        self.observation_space = spaces.Box(0, 255, (RAM_SIZE,), np.float32)
        self.action_space = spaces.Discrete(len(self.action_names))
        self.life_loss_ends_episode = life_loss_ends_episode
        self._lives = self._last_action = 0

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions."""
        return tuple(action.lower() for action in self.simulation.get_action_meanings())

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[FloatArray, dict[str, Any]]:
        """
        Start a new game.

        :param seed: seed of the sticky actions; the game itself has no randomness
        :param options: unused
        :return: observation and info with ``goals_achieved`` and ``lives``
        """
        super().reset(seed=seed)
        self.simulation.ale.reset_game()
        self._last_action = 0
        return self._observe()

    def step(self, action: Any) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """
        Take one step, which is ``frameskip`` frames.

        :param action: the action, an integer
        :return: observation, reward, terminated, truncated, and info with ``goals_achieved`` and ``lives``
        """
        self._check_running()
        ale, lives, reward = self.simulation.ale, self._lives, 0
        actions = ale.getMinimalActionSet()
        action = check_action(action, len(actions))
        for _ in range(self.frameskip):
            # As in ale-py, whose own generator can only be seeded by loading the game anew, which takes longer than 100 steps.
            if self.np_random.random() >= self.repeat_action_probability:
                self._last_action = action
            reward += ale.act(actions[self._last_action])
        observation, info = self._observe()
        terminated = ale.game_over(with_truncation=False) or (self.life_loss_ends_episode and self._lives < lives)
        return observation, float(reward), terminated, ale.game_truncated(), info

    def get_keys_to_action(self) -> dict[tuple[str, ...], int]:
        """
        Return the key bindings for ``gymnasium.utils.play``.

        :return: mapping of keys to actions
        """
        return {keys: int(action) for keys, action in self.simulation.get_keys_to_action().items()}

    def _frame(self) -> Frame:
        # The console's pixels are wider than high.
        frame: Frame = self.simulation.ale.getScreenRGB().repeat(2, axis=0).repeat(3, axis=1)
        return frame

    def __getstate__(self) -> dict[str, Any]:
        # The emulator itself cannot be copied, its state can.
        return {**self.__dict__, "simulation": self.simulation.clone_state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.simulation = _make_simulation(self.game)
        self.simulation.restore_state(state["simulation"])

    def _observe(self) -> tuple[FloatArray, dict[str, Any]]:
        observation = self.simulation.ale.getRAM().astype(np.float32)
        self._lives = self.simulation.ale.lives()
        return observation, {"goals_achieved": self._record(self.goal_set.achieved(observation)), "lives": self._lives}


def _make_simulation(game: str) -> Simulation:
    ALEInterface.setLoggerMode(LoggerMode.Error)
    return Simulation(game, obs_type="ram", frameskip=1, repeat_action_probability=0.0, max_num_frames_per_episode=MAX_FRAMES)
