"""XLand-MiniGrid with goals for cells and for tiles that the agent is on, near or carries, that exist, or are adjacent."""

from gymnasium.error import DependencyNotInstalled

try:
    import jax  # noqa: F401
    import xminigrid  # noqa: F401
except ImportError as error:
    raise DependencyNotInstalled(
        f'expected xminigrid and JAX for leo_envs.xland, got no {error.name}; run `pip install "leo-rl[xland]"`'
    ) from error

from leo_envs.xland.env import XLandEnv
from leo_envs.xland.functional import XLand
from leo_envs.xland.goals import XLandGoals
from leo_envs.xland.ruleset import Ruleset
from leo_envs.xland.vector_env import XLandVectorEnv

__all__ = ["Ruleset", "XLand", "XLandEnv", "XLandGoals", "XLandVectorEnv"]
