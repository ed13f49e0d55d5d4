"""The line of :mod:`tests.line_env`, with overlapping goals and a unique observation at every step."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from leo_wrappers import GoalSet, MultiGoalWrapper
from tests.line_env import LineEnv

LENGTH, NUM_GOALS = 5, 4
# Goals achieved at each position: more than one, one, or none.
TABLE = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 1, 1], [0, 0, 0, 1]], dtype=bool)


class Stamped(gym.Wrapper):
    """Observations ``(position, stamp, episode)``: unique at every step, and with the number of the episode."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.observation_space = spaces.Box(0.0, 1e6, (3,), np.float32)
        self.stamp = self.episode = -1

    def reset(self, **kwargs: Any):
        self.episode += 1
        obs, info = self.env.reset(**kwargs)
        return self._stamped(obs), info

    def step(self, action: int):
        obs, *rest = self.env.step(action)
        return self._stamped(obs), *rest

    def _stamped(self, obs: np.ndarray) -> np.ndarray:
        self.stamp += 1
        return np.array([obs[0], self.stamp, self.episode], dtype=np.float32)


def stamped_line() -> gym.Env:
    goals = GoalSet([f"goal/{g}" for g in range(NUM_GOALS)], lambda obs: TABLE[obs[..., 0].astype(int)])
    return Stamped(MultiGoalWrapper(LineEnv(LENGTH, start=None, trap=4, horizon=6), goals))


def add_step(buffer: Any, position: int, after: int, done: bool = False, goal: int = 0, **info: Any) -> None:
    obs, next_obs = ({"observation": np.array([[x]], np.float32), "goal_id": np.array([goal])} for x in (position, after))
    buffer.add(
        obs, next_obs, np.array([1]), np.zeros(1), np.array([done]), [{"goals_achieved": np.arange(9) == after, **info}]
    )


def line_space() -> spaces.Dict:
    return spaces.Dict({"observation": spaces.Box(0, 9, (1,), np.float32), "goal_id": spaces.Discrete(9)})
