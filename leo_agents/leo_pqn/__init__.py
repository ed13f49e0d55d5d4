"""LEOPQN, see :class:`~leo_agents.leo_pqn.leo_pqn.LEOPQN`, and its baseline :class:`~leo_agents.baselines.pqn.PQN`."""

from leo_agents.baselines.pqn import PQN
from leo_agents.leo_pqn.leo_pqn import LEOPQN
from leo_agents.leo_pqn.policies import GoalInputPolicy, MultiGoalPolicy

__all__ = ["LEOPQN", "PQN", "GoalInputPolicy", "MultiGoalPolicy"]
