"""The mountain car on a grid, with exact values; needs no MuJoCo."""

from leo_envs.robotics.mountain_car.env import MountainCarContinuousEnv, MountainCarEnv
from leo_envs.robotics.mountain_car.vector_env import MountainCarVectorEnv
from leo_envs.robotics.mountain_car.world import MountainCar

__all__ = ["MountainCar", "MountainCarContinuousEnv", "MountainCarEnv", "MountainCarVectorEnv"]
