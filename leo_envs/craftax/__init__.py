"""Craftax and Craftax-Classic with goals for neighboring cells, the inventory and the player's attributes."""

from gymnasium.error import DependencyNotInstalled

try:
    import craftax  # noqa: F401
    import jax  # noqa: F401
except ImportError as error:
    raise DependencyNotInstalled(
        f'expected craftax and JAX for leo_envs.craftax, got no {error.name}; run `pip install "leo-rl[craftax]"`'
    ) from error

from leo_envs.craftax.env import CraftaxEnv
from leo_envs.craftax.functional import Craftax, CraftaxClassic
from leo_envs.craftax.observations import expand_compact
from leo_envs.craftax.vector_env import CraftaxVectorEnv

__all__ = ["Craftax", "CraftaxClassic", "CraftaxEnv", "CraftaxVectorEnv", "expand_compact"]
