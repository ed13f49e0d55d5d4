"""Bit flipping: n bits, one flipped a step; the goals are whole patterns or single bits."""

from leo_envs.bitflip.env import BitFlipEnv
from leo_envs.bitflip.vector_env import BitFlipVectorEnv

__all__ = ["BitFlipEnv", "BitFlipVectorEnv"]
