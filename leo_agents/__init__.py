"""Stable-Baselines3 algorithms that learn every goal from every step."""

try:
    import stable_baselines3  # noqa: F401
except ImportError as error:
    raise ImportError('leo_agents needs Stable-Baselines3; install it with: pip install "leo-rl[agents]"') from error

from leo_agents.baselines.pqn import PQN
from leo_agents.dual_leo import DualLEOPPO, DualLEOPQN, JumpStart, distill
from leo_agents.learning.checkpoints import ExactCheckpoints, resume
from leo_agents.learning.inverse_model import InverseModel
from leo_agents.leo_dqn import LEODQN
from leo_agents.leo_pqn import LEOPQN
from leo_agents.leo_sac import LEOSAC
from leo_agents.leo_td3 import LEOTD3
from leo_agents.replay.collect_dataset import collect_dataset
from leo_agents.replay.goal_dataset import GoalDataset
from leo_agents.replay.goal_replay_buffer import GoalReplayBuffer
from leo_agents.replay.minari_datasets import from_minari, to_minari

__all__ = [
    "LEODQN",
    "LEOPQN",
    "LEOSAC",
    "LEOTD3",
    "PQN",
    "DualLEOPPO",
    "DualLEOPQN",
    "ExactCheckpoints",
    "GoalDataset",
    "GoalReplayBuffer",
    "InverseModel",
    "JumpStart",
    "collect_dataset",
    "distill",
    "from_minari",
    "resume",
    "to_minari",
]
