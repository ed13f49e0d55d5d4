from leo_agents.leo_dqn.leo_dqn import LEODQN
from leo_agents.leo_dqn.policies import LEODQNPolicy

__all__ = ["LEODQN", "LEODQNPolicy"]
