"""LEODQN, see :class:`~leo_agents.leo_dqn.leo_dqn.LEODQN`."""

from leo_agents.leo_dqn.leo_dqn import LEODQN
from leo_agents.leo_dqn.policies import MultiGoalPolicy

__all__ = ["LEODQN", "MultiGoalPolicy"]
