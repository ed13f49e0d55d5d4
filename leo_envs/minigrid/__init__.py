"""MiniGrid and BabyAI with goals for cells, objects that are faced or carried, and open doors, each with an instruction."""

from gymnasium.error import DependencyNotInstalled

try:
    import minigrid  # noqa: F401
except ImportError as error:
    # An uninstalled pygame-ce takes the files of pygame with it.
    raise DependencyNotInstalled(
        f'expected minigrid and pygame for leo_envs.minigrid, got: {error}; run `pip install "leo-rl[minigrid]"`, and if '
        "pygame is broken since pygame-ce came or went, `pip install --force-reinstall --no-deps pygame`"
    ) from error

from leo_envs.minigrid.env import MiniGridEnv
from leo_envs.minigrid.goals import MiniGridGoals
from leo_envs.minigrid.instructions import instruction_descriptors

__all__ = ["MiniGridEnv", "MiniGridGoals", "instruction_descriptors"]
