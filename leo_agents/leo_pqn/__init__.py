from leo_agents.leo_pqn.leo_pqn import LEOPQN
from leo_agents.leo_pqn.policies import LEOPQNPolicy

__all__ = ["LEOPQN", "LEOPQNPolicy"]
