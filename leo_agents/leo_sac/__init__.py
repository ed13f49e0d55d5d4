"""LEOSAC, see :class:`~leo_agents.leo_sac.leo_sac.LEOSAC`."""

from leo_agents.leo_sac.leo_sac import LEOSAC
from leo_agents.leo_sac.policies import MultiGoalPolicy

__all__ = ["LEOSAC", "MultiGoalPolicy"]
