"""Bit flipping as a native Gymnasium vector environment."""

from collections.abc import Sequence

from gymnasium.vector import AutoresetMode

from leo_envs.bitflip.mdp import BitFlip
from leo_envs.common.vector_env import WorldVectorEnv


class BitFlipVectorEnv(WorldVectorEnv):
    """
    Many bit patterns flipped at once; row i equals a :class:`BitFlipEnv` seeded with ``seed + i``.

    :param num_envs: the number of environments
    :param n_bits: as in :class:`BitFlipEnv`
    :param goals: as in :class:`BitFlipEnv`
    :param start: as in :class:`BitFlipEnv`
    :param time_limit: truncate after this many steps; ``n_bits`` when None
    :param max_episode_steps: the same as Gymnasium passes it (None and -1 mean none); the shorter of the two counts
    :param autoreset_mode: when a finished environment begins anew: an ``AutoresetMode`` or its value
    :param render_mode: "rgb_array", "ansi" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> envs = gym.make_vec("leo/BitFlip-v0", num_envs=2, n_bits=3, start="000")
        >>> observations, infos = envs.reset()
        >>> envs.step([0, 2])[0]
        array([[1., 0., 0.],
               [0., 0., 1.]], dtype=float32)
    """

    def __init__(
        self,
        num_envs: int = 1,
        n_bits: int = 8,
        *,
        goals: str = "pattern",
        start: str | Sequence[int] = "random",
        time_limit: int | None = None,
        max_episode_steps: int | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        world = BitFlip(n_bits, goals, start)
        super().__init__(
            world,
            num_envs,
            time_limit=world.n_bits if time_limit is None else time_limit,
            max_episode_steps=max_episode_steps,
            autoreset_mode=autoreset_mode,
            render_mode=render_mode,
        )
