"""Base class of the Q-learning algorithms with discrete actions."""

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv

from leo_agents.algorithms.env_wrapping import check_discrete_actions, wrap_multi_goal_env
from leo_agents.algorithms.exploration import epsilon_greedy, spread_epsilon
from leo_agents.algorithms.goal_algorithm import GoalAlgorithm
from leo_agents.networks.goal_descriptors import find_descriptors
from leo_agents.networks.policies import Observation


class DiscreteGoalAlgorithm(GoalAlgorithm):
    """
    Mixin with Q-values and epsilon-greedy exploration.

    Subclasses have ``exploration_rate``, ``exploration_spread`` and a policy with ``q_values``.
    """

    action_space: spaces.Discrete
    exploration_rate: float
    exploration_spread: float
    policy: Any

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        return check_discrete_actions(wrap_multi_goal_env(env, verbose, monitor_wrapper))

    def q_values(self, observation: Observation, goals: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """
        Compute Q_g(s, a) of all goals and actions.

        :param observation: an observation, or a batch of them; a commanded goal in it is ignored
        :param goals: descriptors ``[K, d]`` of the goals to compute instead, if the policy takes them
        :return: ``[B, G, A]`` or ``[B, K, A]``
        """
        if goals is not None:
            self._check_descriptors_are_taken(goals)
        return self.policy.q_values(observation) if goals is None else self.policy.q_values(observation, goals)

    def _setup_goals(self) -> None:
        is_new = not self.goal_names
        super()._setup_goals()
        head_kwargs = self.policy_kwargs.get("head_kwargs") or {}
        needs_descriptors = self.policy_kwargs.get("head") in ("factored", "quasimetric") and "descriptors" not in head_kwargs
        # The stored arguments of a loaded model are complete.
        if is_new and needs_descriptors and self.env is not None:
            head_kwargs = {**head_kwargs, "descriptors": find_descriptors(self.env)}
            self.policy_kwargs = {**self.policy_kwargs, "head_kwargs": head_kwargs}

    def predict(
        self,
        observation: Observation,
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """
        Get the actions for the commanded goals; epsilon-greedy, with one draw per environment, unless deterministic.

        :param observation: observations with ``goal_id``
        :param state: returned as it is
        :param episode_start: not used
        :param deterministic: whether to return greedy actions
        :return: the actions and the state
        """
        actions, state = self.policy.predict(observation, state, episode_start, deterministic)
        return (actions if deterministic else self._explore(actions)), state

    def _explore(self, actions: npt.NDArray[Any]) -> npt.NDArray[Any]:
        epsilon = spread_epsilon(self.exploration_rate, self.exploration_spread, actions.size)
        return epsilon_greedy(actions, int(self.action_space.n), epsilon)
