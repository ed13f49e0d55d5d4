"""Grid worlds: four moves, one goal per free cell, exact Q-values."""

from leo_envs.gridworld.env import GridWorldEnv
from leo_envs.gridworld.generators import maze_map, random_map
from leo_envs.gridworld.maps import GridMap, paper_map
from leo_envs.gridworld.vector_env import GridWorldVectorEnv

__all__ = ["GridMap", "GridWorldEnv", "GridWorldVectorEnv", "maze_map", "paper_map", "random_map"]
