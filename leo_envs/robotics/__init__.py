"""Environments of Gymnasium-Robotics with finite goal sets; MuJoCo is imported when an environment is created."""

from leo_envs.robotics.fetch import FetchEnv
from leo_envs.robotics.hand import HandReachEnv
from leo_envs.robotics.kitchen import FrankaKitchenEnv
from leo_envs.robotics.mazes import MazeEnv

__all__ = [
    "FetchEnv",
    "FrankaKitchenEnv",
    "HandReachEnv",
    "MazeEnv",
]
