"""Functional JAX environments as Stable-Baselines3 vectorized environments."""

from gymnasium.vector import AutoresetMode

from leo_wrappers.jax_envs import FunctionalEnv, JaxVectorEnv
from leo_wrappers.jax_envs.functional_env import check_functional_env
from leo_wrappers.sb3.gym_vec_env import GymVecEnv


class JaxVecEnv(GymVecEnv):
    """
    N parallel functional environments for Stable-Baselines3, all in this process; replaces ``SubprocVecEnv``.

    :param env: the functional environment
    :param num_envs: number of environments, N

    Example::

        >>> from leo_envs.craftax import CraftaxClassic
        >>> venv = JaxVecEnv(CraftaxClassic(), num_envs=2)
        >>> venv.num_envs, len(venv.goal_names)
        (2, 136)
    """

    vector_env: JaxVectorEnv

    def __init__(self, env: FunctionalEnv, num_envs: int) -> None:
        check_functional_env(env)
        self.goal_names = env.goal_names
        super().__init__(JaxVectorEnv(env, num_envs, autoreset_mode=AutoresetMode.SAME_STEP))

    def warmup(self) -> None:
        """Compile now instead of at the first reset and step; draws no random numbers."""
        self.vector_env.warmup()
