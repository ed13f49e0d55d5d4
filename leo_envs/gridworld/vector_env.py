"""Grid world as a natively vectorized Gymnasium environment."""

from collections.abc import Sequence

from gymnasium.vector import AutoresetMode

from leo_envs.common.vector_env import FiniteMDPVectorEnv
from leo_envs.gridworld.make_grid_world import make_grid_world
from leo_envs.gridworld.mixin import GridWorldMixin


class GridWorldVectorEnv(GridWorldMixin, FiniteMDPVectorEnv):
    """
    N parallel grid worlds on one map; environment i equals a :class:`GridWorldEnv` seeded with ``seed + i``.

    :param num_envs: number of environments, N
    :param map: as in :class:`GridWorldEnv`
    :param size: as in :class:`GridWorldEnv`
    :param map_seed: as in :class:`GridWorldEnv`
    :param start: as in :class:`GridWorldEnv`
    :param observation: as in :class:`GridWorldEnv`
    :param time_limit: truncate after this many steps; no limit when None
    :param max_episode_steps: time limit passed by ``gym.make_vec`` (None and -1 mean no limit); the shorter limit applies
    :param autoreset_mode: an ``AutoresetMode`` or its value
    :param render_mode: "rgb_array", "ansi" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> envs = gym.make_vec("leo/GridWorld-v0", num_envs=2, map="S..", autoreset_mode="SameStep")
        >>> observations, infos = envs.reset(seed=0)
        >>> observations, rewards, terminations, truncations, infos = envs.step([1, 3])
        >>> infos["goals_achieved"]
        array([[False,  True, False],
               [ True, False, False]])
    """

    def __init__(
        self,
        num_envs: int = 1,
        map: str | Sequence[str] = "paper",
        *,
        size: int | Sequence[int] | None = None,
        map_seed: int | None = None,
        start: Sequence[int] | str | None = None,
        observation: str = "row_column",
        time_limit: int | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            make_grid_world(map, size, map_seed, start, observation),
            num_envs,
            time_limit=time_limit,
            max_episode_steps=max_episode_steps,
            autoreset_mode=autoreset_mode,
            render_mode=render_mode,
        )
