"""The environments of Gymnasium-Robotics with a grid of goals each; imports MuJoCo only when one is made."""

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
