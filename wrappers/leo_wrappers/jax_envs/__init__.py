"""Environments written as pure JAX functions, as single and vectorized Gymnasium environments."""

try:
    import jax  # noqa: F401
except ImportError as error:
    raise ImportError('leo_wrappers.jax_envs needs JAX; install it with: pip install "leo-rl[jax]"') from error

from leo_wrappers.jax_envs.arrays import to_numpy, to_torch
from leo_wrappers.jax_envs.batch_functions import BatchState, Transition
from leo_wrappers.jax_envs.batched_env import BatchedEnv
from leo_wrappers.jax_envs.functional_env import FunctionalEnv
from leo_wrappers.jax_envs.gymnax_env import GymnaxEnv
from leo_wrappers.jax_envs.single_env import JaxEnv
from leo_wrappers.jax_envs.vector_env import JaxVectorEnv

__all__ = [
    "BatchState",
    "BatchedEnv",
    "FunctionalEnv",
    "GymnaxEnv",
    "JaxEnv",
    "JaxVectorEnv",
    "Transition",
    "to_numpy",
    "to_torch",
]
