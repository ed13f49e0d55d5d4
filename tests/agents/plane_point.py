"""A goal environment for tests: a point in the plane, moved by the action."""

from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

TOLERANCE = 0.15


class PlanePoint(gym.Env[Any, Any]):
    """
    A point in ``[-1, 1]^2`` that each step moves by up to 0.2 in x and y, towards random goals. Episodes have 20 steps.

    :param offset: added to all coordinates that are observed
    """

    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = np.float32(offset)
        point = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.observation_space = spaces.Dict({"observation": point, "achieved_goal": point, "desired_goal": point})
        self.position = self.goal = np.zeros(2, dtype=np.float32)
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.position, self.goal = self.np_random.uniform(-1.0, 1.0, (2, 2)).astype(np.float32)
        self.steps = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self.position = np.clip(self.position + 0.2 * np.asarray(action, dtype=np.float32), -1.0, 1.0)
        self.steps += 1
        reward = float(self.compute_reward(self.position, self.goal, {}))
        return self._observation(), reward, False, self.steps == 20, {"is_success": reward == 0.0}

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> npt.NDArray[np.float64]:
        return (np.linalg.norm(np.subtract(achieved_goal, desired_goal), axis=-1) <= TOLERANCE) - 1.0

    def _observation(self) -> dict[str, Any]:
        position = self.position + self.offset
        return {"observation": position, "achieved_goal": position.copy(), "desired_goal": self.goal + self.offset}
