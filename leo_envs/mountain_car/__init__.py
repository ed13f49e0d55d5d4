"""Mountain car on a grid of positions and velocities, with exact Q-values."""

from leo_envs.mountain_car.env import MountainCarContinuousEnv, MountainCarEnv
from leo_envs.mountain_car.mdp import MountainCar
from leo_envs.mountain_car.vector_env import MountainCarVectorEnv

__all__ = ["MountainCar", "MountainCarContinuousEnv", "MountainCarEnv", "MountainCarVectorEnv"]
