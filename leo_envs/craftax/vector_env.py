"""Craftax as a Gymnasium vector environment."""

from collections.abc import Sequence

from gymnasium.vector import AutoresetMode

from leo_envs.common.jax_env import RenderedJaxVectorEnv
from leo_envs.common.vector_env import shorter_time_limit
from leo_envs.craftax.functional import TIME_LIMIT, make_craftax
from leo_envs.craftax.rendering import Painter
from leo_wrappers.goal_set import Goal


class CraftaxVectorEnv(RenderedJaxVectorEnv):
    """
    N parallel Craftax environments; environment i equals a :class:`CraftaxEnv` seeded with ``seed + i``.

    :param num_envs: number of environments, N
    :param variant: ``"full"`` or ``"classic"``
    :param observation: as in :class:`CraftaxEnv`
    :param goals: as in :class:`CraftaxEnv`
    :param time_limit: truncate after this many steps; no limit when None
    :param max_episode_steps: time limit passed by ``gym.make_vec`` (None and -1 mean no limit); the shorter limit applies
    :param autoreset_mode: an ``AutoresetMode`` or its value
    :param render_mode: "rgb_array" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> envs = gym.make_vec("leo/CraftaxClassic-v0", num_envs=4)
        >>> obs, infos = envs.reset(seed=0)
        >>> obs["blocks"].shape, infos["goals_achieved"].shape
        ((4, 7, 9), (4, 136))
    """

    def __init__(
        self,
        num_envs: int = 1,
        variant: str = "full",
        *,
        observation: str = "compact",
        goals: Sequence[Goal] | None = None,
        time_limit: int | None = TIME_LIMIT,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        env = make_craftax(variant, observation, goals, shorter_time_limit(time_limit, max_episode_steps))
        super().__init__(env, num_envs, Painter(variant, env.goal_names), autoreset_mode, render_mode)
