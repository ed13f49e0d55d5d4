"""Functional environments as a Stable-Baselines3 vector environment."""

from gymnasium.vector import AutoresetMode

from leo_wrappers.jax_envs import FunctionalEnv, JaxVectorEnv
from leo_wrappers.sb3.gym_vec_env import GymVecEnv


class JaxVecEnv(GymVecEnv):
    """
    N functional environments at once for Stable-Baselines3, all in this process: ``SubprocVecEnv`` has no place here.

    :param env: the functional environment
    :param num_envs: N

    Example::

        >>> from leo_envs.craftax import CraftaxClassic
        >>> venv = JaxVecEnv(CraftaxClassic(), num_envs=2)
        >>> venv.num_envs, len(venv.goal_names)
        (2, 136)
    """

    vector_env: JaxVectorEnv

    def __init__(self, env: FunctionalEnv, num_envs: int) -> None:
        self.goal_names = env.goal_names
        super().__init__(JaxVectorEnv(env, num_envs, autoreset_mode=AutoresetMode.SAME_STEP))

    def warmup(self) -> None:
        """Compile now what the first reset and the first steps would compile; it draws no random number."""
        self.vector_env.warmup()
