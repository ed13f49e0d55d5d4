"""XLand-MiniGrid as a Gymnasium vector environment."""

from collections.abc import Iterable, Mapping
from typing import Any

from gymnasium.vector import AutoresetMode

from leo_envs.common.jax_env import RenderedJaxVectorEnv
from leo_envs.common.vector_env import shorter_time_limit
from leo_envs.xland.env import Painter
from leo_envs.xland.functional import XLand
from leo_envs.xland.ruleset import Ruleset


class XLandVectorEnv(RenderedJaxVectorEnv):
    """
    N parallel environments of XLand-MiniGrid; environment i equals an :class:`XLandEnv` seeded with ``seed + i``.

    :param num_envs: number of environments, N
    :param level: as in :class:`XLandEnv`
    :param ruleset: as in :class:`XLandEnv`
    :param goals: as in :class:`XLandEnv`
    :param max_steps: as in :class:`XLandEnv`
    :param mission_ends_episode: as in :class:`XLandEnv`
    :param max_episode_steps: time limit passed by ``gym.make_vec``; the shorter of this and ``max_steps`` applies
    :param autoreset_mode: an ``AutoresetMode`` or its value
    :param render_mode: "rgb_array" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> envs = gym.make_vec("leo/XLand-v0", num_envs=4)
        >>> obs, infos = envs.reset(seed=0)
        >>> obs["tiles"].shape, infos["goals_achieved"].shape
        ((4, 9, 9), (4, 83))
    """

    def __init__(
        self,
        num_envs: int = 1,
        level: str = "XLand-MiniGrid-R1-9x9",
        *,
        ruleset: Ruleset | Mapping[str, Any] | None = None,
        goals: Iterable[str] | None = None,
        max_steps: int | None = None,
        mission_ends_episode: bool = False,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        env = XLand(level, ruleset, goals, shorter_time_limit(max_steps, max_episode_steps), mission_ends_episode)
        super().__init__(env, num_envs, Painter(env.goal_names), autoreset_mode, render_mode)
