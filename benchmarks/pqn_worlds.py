"""Where the agents of ``pqn_learning.py`` learn, with what settings, and how well they do there."""

from abc import ABC, abstractmethod
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv
from trainings import Row

import leo_envs
from leo_agents import LEOPQN, PQN
from leo_agents.evaluation import evaluate_goals
from leo_wrappers.sb3 import GymVecEnv

gym.register_envs(leo_envs)

GAMMA = 0.99


class World(ABC):
    """Where the agents learn."""

    net: tuple[int, ...]
    num_envs: int
    steps: int
    q_lambda = 0.0
    initial_value = 0.5
    ppo_learning_rate = 1e-3

    @abstractmethod
    def make(self) -> VecEnv:
        """The environments to learn in."""

    @abstractmethod
    def descriptors(self) -> np.ndarray:
        """What a goal looks like to agents that read it."""

    @abstractmethod
    def judge(self, model: BaseAlgorithm, seed: int) -> Row:
        """How well a model does."""


class GridWorld(World):
    """The paper's map, 2 x 256."""

    net, num_envs, steps = (256, 256), 64, 1_000_000

    def __init__(self) -> None:
        world: Any = gym.make("leo/GridWorld-v0").unwrapped
        self.observations = world.all_observations()
        self.reachable = np.flatnonzero(world.reachable())
        self.pairs = np.ix_(self.reachable, self.reachable)  # states and goals have the same numbers
        self.optimal = world.optimal_q(GAMMA).max(axis=2)[self.pairs]
        self.evaluation = gym.make_vec("leo/GridWorld-v0", num_envs=len(self.reachable), autoreset_mode="SameStep")

    def make(self) -> VecEnv:
        return GymVecEnv(gym.make_vec("leo/GridWorld-v0", num_envs=self.num_envs, autoreset_mode="SameStep"))

    def descriptors(self) -> np.ndarray:
        return self.observations

    def judge(self, model: BaseAlgorithm, seed: int) -> Row:
        row: Row = {"success": evaluate_goals(model, self.evaluation, goals=self.reachable).mean_success}
        error = float("nan")  # PPO knows no values of actions
        if isinstance(model, LEOPQN | PQN):
            values = model.q_values(self.observations).max(axis=2)[self.pairs]
            error = float(np.abs(values - self.optimal).mean())
        return {**row, "value_error": error}


class Classic(World):
    """
    Craftax-Classic, 2 x 256.

    With one-step targets the maximum over 17 actions adds up errors until all goals seem near, and values that begin at a half
    would need more rollouts than there are to come down to where most goals are: rare.
    """

    net, num_envs, steps = (256, 256), 256, 1_000_000
    q_lambda, initial_value, ppo_learning_rate = 0.9, 0.03, 3e-4

    def __init__(self) -> None:
        # JAX is not needed for the grid world.
        from craftax_learning import HORIZON, RANDOM_ACTIONS

        self.evaluation: Any = None
        self.horizon, self.random_actions = HORIZON, RANDOM_ACTIONS

    def _games(self, count: int | None) -> VecEnv:
        from leo_envs.craftax import CraftaxClassic
        from leo_wrappers.sb3 import JaxVecEnv

        game = CraftaxClassic()
        return JaxVecEnv(game, len(game.goal_names) if count is None else count)

    def make(self) -> VecEnv:
        return self._games(self.num_envs)

    def descriptors(self) -> np.ndarray:
        from leo_envs.craftax import CraftaxClassic

        return CraftaxClassic().goal_set.descriptors

    def judge(self, model: BaseAlgorithm, seed: int) -> Row:
        self.evaluation = self.evaluation or self._games(None)
        worlds: dict[str, Any] = {"seed": 10_000 * (1 + seed), "max_steps": self.horizon}
        report = evaluate_goals(model, self.evaluation, epsilon=self.random_actions, **worlds)
        drawn = float("nan")  # other agents know no probabilities of actions
        if isinstance(model, PPO):
            drawn = evaluate_goals(model, self.evaluation, deterministic=False, **worlds).mean_success
        return {"success": report.mean_success, "success_by_drawn_actions": drawn, "learned": report.num_learned(0.5)}


WORLDS: dict[str, type[World]] = {"gridworld": GridWorld, "classic": Classic}
TITLES = {
    "gridworld": {"success": "success over all reachable goals", "value_error": "error of max Q against optimal"},
    "classic": {"success": "success over all goals"},
}
