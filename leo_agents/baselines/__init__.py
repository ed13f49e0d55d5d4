"""
Baselines: goal-conditioned agents with or without relabeling (:func:`goal_conditioned_dqn`,
:func:`goal_conditioned_actor_critic`, :func:`goal_conditioned_ppo`, :func:`goal_conditioned_bc`,
:func:`goal_conditioned_iql`, :func:`goal_env_actor_critic`), and :func:`goal_sequence_dqn` for sequences of goals. PQN is
:class:`~leo_agents.PQN`.
"""

from leo_agents.baselines.algorithms import NormalizedDQN, NormalizedPPO, NormalizedSAC, NormalizedTD3, NormalizedTQC
from leo_agents.baselines.all_goals_replay_buffer import AllGoalsReplayBuffer
from leo_agents.baselines.behavior_cloning import GoalConditionedBC, goal_conditioned_bc
from leo_agents.baselines.goal_conditioned import (
    goal_conditioned_actor_critic,
    goal_conditioned_dqn,
    goal_conditioned_ppo,
    goal_conditioned_venv,
    goal_env_actor_critic,
)
from leo_agents.baselines.goal_sequences import GoalSequenceDQN, GoalSequenceExtractor, goal_sequence_dqn
from leo_agents.baselines.her_replay_buffer import MaskHerReplayBuffer
from leo_agents.baselines.implicit_q_learning import GoalConditionedIQL, goal_conditioned_iql
from leo_agents.baselines.naive_relabeling import naive_all_goals_loss, naive_goal_losses
from leo_agents.baselines.policies import (
    BoundedDQNPolicy,
    GoalEnvSACPolicy,
    GoalEnvTD3Policy,
    GoalEnvTQCPolicy,
    GoalInputDQNPolicy,
    GoalInputPPOPolicy,
    GoalInputSACPolicy,
    GoalInputTD3Policy,
    GoalInputTQCPolicy,
)
from leo_agents.baselines.sequence_replay_buffer import SequenceReplayBuffer
from leo_agents.networks.goal_descriptors import GoalDescriptorExtractor

__all__ = [
    "AllGoalsReplayBuffer",
    "BoundedDQNPolicy",
    "GoalConditionedBC",
    "GoalConditionedIQL",
    "GoalDescriptorExtractor",
    "GoalEnvSACPolicy",
    "GoalEnvTD3Policy",
    "GoalEnvTQCPolicy",
    "GoalInputDQNPolicy",
    "GoalInputPPOPolicy",
    "GoalInputSACPolicy",
    "GoalInputTD3Policy",
    "GoalInputTQCPolicy",
    "GoalSequenceDQN",
    "GoalSequenceExtractor",
    "MaskHerReplayBuffer",
    "NormalizedDQN",
    "NormalizedPPO",
    "NormalizedSAC",
    "NormalizedTD3",
    "NormalizedTQC",
    "SequenceReplayBuffer",
    "goal_conditioned_actor_critic",
    "goal_conditioned_bc",
    "goal_conditioned_dqn",
    "goal_conditioned_iql",
    "goal_conditioned_ppo",
    "goal_conditioned_venv",
    "goal_env_actor_critic",
    "goal_sequence_dqn",
    "naive_all_goals_loss",
    "naive_goal_losses",
]
