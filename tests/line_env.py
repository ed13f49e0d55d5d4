"""A minimal environment with walls, a terminal state and a time limit, plain and as a goal environment."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from leo_wrappers import GoalSet, MultiGoalWrapper, PointGoals


class LineEnv(gym.Env[np.ndarray, int]):
    """
    Positions 0 to ``length - 1``; action 0 moves left, 1 moves right; reaching ``trap`` terminates.

    :param length: number of positions
    :param start: initial position; drawn at each reset if None
    :param trap: the terminal position; none if None
    :param horizon: number of steps until truncation
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(
        self,
        length: int = 5,
        start: int | None = 0,
        trap: int | None = None,
        horizon: int = 10,
        render_mode: str | None = None,
    ):
        self.length, self.start, self.trap, self.horizon = length, start, trap, horizon
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0.0, length - 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.commanded: list[int] = []

    def set_commanded_goal(self, goal_id: int) -> None:
        self.commanded.append(goal_id)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.options = options
        self.position = int(self.np_random.integers(self.length)) if self.start is None else self.start
        self.steps = 0
        return self._obs(), {}

    def step(self, action: int):
        self.position = int(np.clip(self.position + (1 if action == 1 else -1), 0, self.length - 1))
        self.steps += 1
        return self._obs(), -1.0, self.position == self.trap, self.steps >= self.horizon, {"steps": self.steps}

    def render(self):
        return np.full((4, 4, 3), 40 * self.position, dtype=np.uint8)

    def _obs(self) -> np.ndarray:
        return np.array([self.position], dtype=np.float32)


def line_goals(length: int = 5) -> GoalSet:
    """Return one goal per position."""
    return PointGoals(np.arange(length)[:, None], tolerance=0.5, names=[f"at/{x}" for x in range(length)])


def make_line(**kwargs: Any) -> MultiGoalWrapper:
    """Create the multi-goal environment."""
    return MultiGoalWrapper(LineEnv(**kwargs), line_goals(kwargs.get("length", 5)))


class LineGoalEnv(gym.Env[dict[str, np.ndarray], int]):
    """The same line as a goal environment with Gymnasium-Robotics' rewards: 0 at the desired goal, else -1."""

    def __init__(self, length: int = 5, horizon: int = 10):
        self.line = LineEnv(length, horizon=horizon)
        self.action_space = self.line.action_space
        point = spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.observation_space = spaces.Dict({"observation": point, "achieved_goal": point, "desired_goal": point})
        self.goal = np.array([3.0])

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> Any:
        return -(np.linalg.norm(achieved_goal - desired_goal, axis=-1) > 0.5).astype(np.float64)

    def compute_terminated(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> bool:
        return False

    def compute_truncated(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any) -> bool:
        return False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        obs, info = self.line.reset(seed=seed)
        return self._dict(obs), info

    def step(self, action: int):
        obs, _, terminated, truncated, info = self.line.step(action)
        result = self._dict(obs)
        reward = float(self.compute_reward(result["achieved_goal"], result["desired_goal"], info))
        return result, reward, terminated, truncated, info

    def _dict(self, obs: np.ndarray) -> dict[str, np.ndarray]:
        point = obs.astype(np.float64)
        return {"observation": point, "achieved_goal": point.copy(), "desired_goal": self.goal.copy()}
