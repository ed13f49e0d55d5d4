"""Environments and actors on many processes and machines, with Ray."""

from leo_agents.distributed.distributed_learning import DistributedLearning
from leo_agents.distributed.ray_vec_env import RayVecEnv

__all__ = ["DistributedLearning", "RayVecEnv"]
