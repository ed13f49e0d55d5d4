"""Mountain car as a natively vectorized Gymnasium environment."""

from collections.abc import Sequence
from typing import Any

from gymnasium.vector import AutoresetMode

from leo_envs.common.vector_env import FiniteMDPVectorEnv
from leo_envs.mountain_car.mdp import MountainCar


class MountainCarVectorEnv(FiniteMDPVectorEnv):
    """
    N parallel mountain cars; environment i equals a :class:`MountainCarEnv` seeded with ``seed + i``.

    :param num_envs: number of environments, N
    :param shape: as in :class:`MountainCarEnv`
    :param moments: as in :class:`MountainCarEnv`
    :param goals: as in :class:`MountainCarEnv`
    :param start: as in :class:`MountainCarEnv`
    :param time_limit: truncate after this many steps; no limit when None
    :param max_episode_steps: time limit passed by ``gym.make_vec`` (None and -1 mean no limit); the shorter limit applies
    :param autoreset_mode: an ``AutoresetMode`` or its value
    :param render_mode: "rgb_array", "ansi" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> envs = gym.make_vec("leo/MountainCar-v0", num_envs=2, start=-0.5)
        >>> observations, infos = envs.reset(seed=0)
        >>> envs.step([0, 2])[4]["goals_achieved"].argmax(axis=1)
        array([6, 7])
    """

    def __init__(
        self,
        num_envs: int = 1,
        shape: Sequence[int] = (181, 141),
        *,
        moments: int = 5,
        goals: str = "position",
        start: Any = None,
        time_limit: int | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            MountainCar("discrete", shape, moments, goals, start),
            num_envs,
            time_limit=time_limit,
            max_episode_steps=max_episode_steps,
            autoreset_mode=autoreset_mode,
            render_mode=render_mode,
        )
