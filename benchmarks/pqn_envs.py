"""Environments, settings and evaluations of ``pqn_learning.py``."""

from abc import ABC, abstractmethod
from typing import Any

import gymnasium as gym
import numpy as np
from gridworld_eval import GridworldEval
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv
from training_runs import Row

from leo_agents import LEOPQN, PQN
from leo_agents.evaluation import evaluate_goals
from leo_wrappers.sb3 import GymVecEnv


class BenchmarkEnv(ABC):
    """An environment with the settings that depend on it."""

    net: tuple[int, ...]
    num_envs: int
    steps: int
    q_lambda = 0.0
    initial_value = 0.5
    ppo_learning_rate = 1e-3

    @abstractmethod
    def make(self) -> VecEnv:
        """Create the training environments."""

    @abstractmethod
    def descriptors(self) -> np.ndarray:
        """Return the goals' descriptors ``[G, d]`` for goal-conditioned networks."""

    @abstractmethod
    def evaluate(self, model: BaseAlgorithm, seed: int) -> Row:
        """Evaluate a model on all goals."""


class GridWorld(BenchmarkEnv):
    """The paper's map, 2 x 256."""

    net, num_envs, steps = (256, 256), 64, 1_000_000

    def __init__(self) -> None:
        self.gridworld = GridworldEval()

    def make(self) -> VecEnv:
        return GymVecEnv(gym.make_vec("leo/GridWorld-v0", num_envs=self.num_envs, autoreset_mode="SameStep"))

    def descriptors(self) -> np.ndarray:
        return self.gridworld.observations

    def evaluate(self, model: BaseAlgorithm, seed: int) -> Row:
        row: Row = {"success": self.gridworld.success(model)}
        error = float("nan")  # PPO has no Q-values
        if isinstance(model, LEOPQN | PQN):
            error = self.gridworld.value_error(model.q_values(self.gridworld.observations))
        return {**row, "value_error": error}


class CraftaxClassicEnv(BenchmarkEnv):
    """
    Craftax-Classic, 2 x 256.

    One-step targets accumulate overestimation through the maximum over 17 actions. Initial values of one half would need more
    rollouts than there are to decay to the values of most goals, which are rare.
    """

    net, num_envs, steps = (256, 256), 256, 1_000_000
    q_lambda, initial_value, ppo_learning_rate = 0.9, 0.03, 3e-4

    def __init__(self) -> None:
        # Imported here because the gridworld does not need JAX.
        from craftax_learning import EPSILON, HORIZON

        self.envs: Any = None
        self.horizon, self.epsilon = HORIZON, EPSILON

    def _make(self, num_envs: int | None) -> VecEnv:
        from leo_envs.craftax import CraftaxClassic
        from leo_wrappers.sb3 import JaxVecEnv

        env = CraftaxClassic()
        return JaxVecEnv(env, len(env.goal_names) if num_envs is None else num_envs)

    def make(self) -> VecEnv:
        return self._make(self.num_envs)

    def descriptors(self) -> np.ndarray:
        from leo_envs.craftax import CraftaxClassic

        return CraftaxClassic().goal_set.descriptors

    def evaluate(self, model: BaseAlgorithm, seed: int) -> Row:
        self.envs = self.envs or self._make(None)
        episodes: dict[str, Any] = {"seed": 10_000 * (1 + seed), "max_steps": self.horizon}
        report = evaluate_goals(model, self.envs, epsilon=self.epsilon, **episodes)
        sampled = float("nan")  # only PPO has a stochastic policy
        if isinstance(model, PPO):
            sampled = evaluate_goals(model, self.envs, deterministic=False, **episodes).mean_success
        return {"success": report.mean_success, "success_by_drawn_actions": sampled, "learned": report.num_learned(0.5)}


ENVS: dict[str, type[BenchmarkEnv]] = {"gridworld": GridWorld, "classic": CraftaxClassicEnv}
TITLES = {
    "gridworld": {"success": "success over all reachable goals", "value_error": "error of max Q against optimal"},
    "classic": {"success": "success over all goals"},
}
