"""LEOTD3, see :class:`~leo_agents.leo_td3.leo_td3.LEOTD3`."""

from leo_agents.leo_td3.leo_td3 import LEOTD3
from leo_agents.leo_td3.policies import MultiGoalPolicy

__all__ = ["LEOTD3", "MultiGoalPolicy"]
