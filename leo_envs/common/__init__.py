"""Base classes shared by the environment families: finite MDPs and environments on them, goals that are points."""

from leo_envs.common.env import FiniteMDPEnv
from leo_envs.common.mdp import FiniteMDP
from leo_envs.common.vector_env import FiniteMDPVectorEnv

__all__ = ["FiniteMDP", "FiniteMDPEnv", "FiniteMDPVectorEnv"]
