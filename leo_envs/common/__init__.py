"""What the small, exactly solvable environments share: a world as arrays, its environments, and its exact values."""

from leo_envs.common.env import WorldEnv
from leo_envs.common.mdp import World
from leo_envs.common.vector_env import WorldVectorEnv

__all__ = ["World", "WorldEnv", "WorldVectorEnv"]
