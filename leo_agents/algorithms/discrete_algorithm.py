"""What algorithms with discrete actions that know the value of each have in common."""

from typing import Any

import numpy as np
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.algorithms.goal_algorithm import GoalAlgorithm, check_discrete_actions
from leo_agents.networks.policies import Observation, expected_steps, explore


class DiscreteGoalAlgorithm(GoalAlgorithm):
    """
    A mixin: refuses other actions, tells values, and explores by random actions.

    ``exploration_rate`` is the share of random actions; the policy has ``q_values``.
    """

    exploration_rate: float
    policy: Any

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        """As the parent; refuses actions of another kind before they fail in the midst of training."""
        return check_discrete_actions(GoalAlgorithm._wrap_env(env, verbose, monitor_wrapper))

    def q_values(self, observation: Observation) -> np.ndarray:
        """
        The values of every goal and action.

        :param observation: a batch of observations, or a single one
        :return: ``[B, G, A]``
        """
        return self.policy.q_values(observation)  # type: ignore[no-any-return]

    def values(self, observation: Observation) -> np.ndarray:
        """
        Compute max_a Q_g(s, a) of all goals.

        :param observation: a batch of observations, or a single one
        :return: ``[B, G]``
        """
        return self.q_values(observation).max(axis=-1)

    def expected_steps(self, observation: Observation) -> np.ndarray:
        """
        The values as numbers of steps.

        :param observation: a batch of observations, or a single one
        :return: ``[B, G]``, infinite where the value is 0
        """
        return expected_steps(self.values(observation), self.gamma)  # type: ignore[attr-defined]

    def predict(
        self,
        observation: Observation,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        The actions for the goals in the observations; unless deterministic, each environment explores by its own coin.

        :param observation: observations with ``goal_id``
        :param state: passed through
        :param episode_start: no effect
        :param deterministic: do not explore
        :return: the actions and the state
        """
        actions, state = self.policy.predict(observation, state, episode_start, deterministic)
        if not deterministic:
            actions = explore(actions, int(self.action_space.n), self.exploration_rate)  # type: ignore[attr-defined]
        return actions, state
