"""Atari games with goals that are read from the console's memory: rooms, positions, items, pellets."""

from gymnasium.error import DependencyNotInstalled

try:
    import ale_py  # noqa: F401
except ImportError as error:
    raise DependencyNotInstalled(
        f'expected ale-py for leo_envs.atari, got: {error}; run `pip install "leo-rl[atari]"`; its license is the GPL'
    ) from error

from leo_envs.atari.env import AtariEnv
from leo_envs.atari.goals import AtariGoals

__all__ = ["AtariEnv", "AtariGoals"]
