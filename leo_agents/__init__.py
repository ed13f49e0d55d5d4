"""Stable-Baselines3 algorithms that learn every goal from every step."""

try:
    import stable_baselines3  # noqa: F401
except ImportError as error:
    raise ImportError('leo_agents needs Stable-Baselines3; install it with: pip install "leo-rl[agents]"') from error

from leo_agents.baselines.pqn import PQN
from leo_agents.dual_leo import DualLEOPPO, DualLEOPQN, JumpStart, distill
from leo_agents.learning.checkpoints import ExactCheckpoints, resume
from leo_agents.leo_dqn import LEODQN
from leo_agents.leo_pqn import LEOPQN
from leo_agents.leo_sac import LEOSAC
from leo_agents.leo_td3 import LEOTD3
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer

__all__ = [
    "LEODQN",
    "LEOPQN",
    "LEOSAC",
    "LEOTD3",
    "PQN",
    "DualLEOPPO",
    "DualLEOPQN",
    "ExactCheckpoints",
    "GoalReplayBuffer",
    "JumpStart",
    "distill",
    "resume",
]
