from leo_agents.baselines.pqn.policies import PQNPolicy
from leo_agents.baselines.pqn.pqn import PQN

__all__ = ["PQN", "PQNPolicy"]
