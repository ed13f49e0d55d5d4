from leo_agents.leo_sac.leo_sac import LEOSAC
from leo_agents.leo_sac.policies import LEOSACPolicy

__all__ = ["LEOSAC", "LEOSACPolicy"]
