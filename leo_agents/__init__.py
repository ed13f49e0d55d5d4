"""Stable-Baselines3 algorithms that learn every goal from every step."""

try:
    import stable_baselines3  # noqa: F401
except ImportError as error:
    raise ImportError('leo_agents needs Stable-Baselines3; install it with: pip install "leo-rl[agents]"') from error

from leo_agents.dual_leo import DualLEOPPO, DualLEOPQN, JumpStart, distill
from leo_agents.leo_dqn import LEODQN
from leo_agents.leo_pqn import LEOPQN, PQN
from leo_agents.leo_sac import LEOSAC
from leo_agents.leo_td3 import LEOTD3

__all__ = ["LEODQN", "LEOPQN", "LEOSAC", "LEOTD3", "PQN", "DualLEOPPO", "DualLEOPQN", "JumpStart", "distill"]
