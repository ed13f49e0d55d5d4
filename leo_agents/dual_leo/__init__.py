from leo_agents.dual_leo.distillation import distill
from leo_agents.dual_leo.dual_leo_ppo import DualLEOPPO
from leo_agents.dual_leo.dual_leo_pqn import DualLEOPQN
from leo_agents.dual_leo.jump_start import JumpStart
from leo_agents.dual_leo.policies import DualLEOPPOPolicy, DualLEOPQNPolicy

__all__ = ["DualLEOPPO", "DualLEOPPOPolicy", "DualLEOPQN", "DualLEOPQNPolicy", "JumpStart", "distill"]
