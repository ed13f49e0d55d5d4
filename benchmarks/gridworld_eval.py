"""Evaluation in the 16 x 16 gridworld of the learning benchmarks: success and value error over all reachable goals."""

from typing import Any

import gymnasium as gym
import numpy as np

import leo_envs
from leo_agents.evaluation import evaluate_goals

gym.register_envs(leo_envs)

GAMMA = 0.99


class GridworldEval:
    """Evaluates agents against the exact values of the paper's map."""

    def __init__(self) -> None:
        env: Any = gym.make("leo/GridWorld-v0").unwrapped
        self.num_goals = len(env.goal_names)
        self.observations = env.all_observations()
        self.reachable = np.flatnonzero(env.reachable())
        self.pairs = np.ix_(self.reachable, self.reachable)  # state i achieves goal i
        self.optimal = env.optimal_q(GAMMA).max(axis=2)[self.pairs]
        self.envs = gym.make_vec("leo/GridWorld-v0", num_envs=len(self.reachable), autoreset_mode="SameStep")

    def success(self, model: Any) -> float:
        """
        Return the success rate of the greedy policy over all reachable goals.

        :param model: the agent
        :return: the success rate
        """
        return evaluate_goals(model, self.envs, goals=self.reachable).mean_success

    def value_error(self, q_values: np.ndarray) -> float:
        """
        Return the mean of ``|max_a Q - optimal value|`` over reachable states and goals.

        :param q_values: values of all states, goals and actions ``[S, G, A]``
        :return: the mean absolute error
        """
        return float(np.abs(q_values.max(axis=2)[self.pairs] - self.optimal).mean())
