"""LEOPQN, see :class:`~leo_agents.leo_pqn.leo_pqn.LEOPQN`, and its baseline :class:`~leo_agents.leo_pqn.pqn.PQN`."""

from leo_agents.leo_pqn.leo_pqn import LEOPQN
from leo_agents.leo_pqn.policies import GoalInputPolicy, MultiGoalPolicy
from leo_agents.leo_pqn.pqn import PQN

__all__ = ["LEOPQN", "PQN", "GoalInputPolicy", "MultiGoalPolicy"]
