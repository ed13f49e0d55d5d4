"""Targets, losses and updates: pure functions, the all-goals Q-learners, optimization, checkpoints."""

from leo_agents.learning.q_learner import AllGoalsQLearner
from leo_agents.learning.rollout_q_learner import RolloutQLearner

__all__ = ["AllGoalsQLearner", "RolloutQLearner"]
