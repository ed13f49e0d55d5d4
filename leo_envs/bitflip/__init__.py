"""Bit flipping: each action flips one of n bits; goals are bit patterns or values of single bits."""

from leo_envs.bitflip.env import BitFlipEnv
from leo_envs.bitflip.vector_env import BitFlipVectorEnv

__all__ = ["BitFlipEnv", "BitFlipVectorEnv"]
