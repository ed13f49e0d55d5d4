"""Dual LEO: a teacher of all goals beside a student of the commanded one, see :class:`DualLEOPQN` and :class:`DualLEOPPO`."""

from leo_agents.dual_leo.distillation import distill
from leo_agents.dual_leo.dual_leo_ppo import DualLEOPPO
from leo_agents.dual_leo.dual_leo_pqn import DualLEOPQN
from leo_agents.dual_leo.jump_start import JumpStart
from leo_agents.dual_leo.policies import DualPolicy, TaughtActorCriticPolicy

__all__ = ["DualLEOPPO", "DualLEOPQN", "DualPolicy", "JumpStart", "TaughtActorCriticPolicy", "distill"]
