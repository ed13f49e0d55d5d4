"""What the small, exactly solvable environments share: a world as arrays, its environments, and its exact values."""

from leo_envs.common.env import WorldEnv
from leo_envs.common.vector_env import WorldVectorEnv
from leo_envs.common.world import World

__all__ = ["World", "WorldEnv", "WorldVectorEnv"]
