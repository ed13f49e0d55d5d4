"""Environments and actors on many processes and machines, with Ray."""

from leo_agents.distributed.ray_vec_env import RayVecEnv

__all__ = ["RayVecEnv"]
