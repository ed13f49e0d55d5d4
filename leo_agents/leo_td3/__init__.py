from leo_agents.leo_td3.leo_td3 import LEOTD3
from leo_agents.leo_td3.policies import LEOTD3Policy

__all__ = ["LEOTD3", "LEOTD3Policy"]
