"""The contract in Stable-Baselines3's vector environments."""

try:
    import stable_baselines3  # noqa: F401
except ImportError as error:
    raise ImportError('leo_wrappers.sb3 needs Stable-Baselines3; install it with: pip install "leo-rl[agents]"') from error

from leo_wrappers.sb3.goal_sampler import VecGoalSampler
from leo_wrappers.sb3.gym_vec_env import GymVecEnv

__all__ = ["GymVecEnv", "VecGoalSampler"]
