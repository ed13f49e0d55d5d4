"""Bit flipping as a natively vectorized Gymnasium environment."""

from collections.abc import Sequence

from gymnasium.vector import AutoresetMode

from leo_envs.bitflip.mdp import BitFlip
from leo_envs.common.vector_env import FiniteMDPVectorEnv


class BitFlipVectorEnv(FiniteMDPVectorEnv):
    """
    N parallel bit-flipping environments; environment i equals a :class:`BitFlipEnv` seeded with ``seed + i``.

    :param num_envs: number of environments, N
    :param n_bits: as in :class:`BitFlipEnv`
    :param goals: as in :class:`BitFlipEnv`
    :param start: as in :class:`BitFlipEnv`
    :param time_limit: truncate after this many steps; ``n_bits`` when None
    :param max_episode_steps: time limit passed by ``gym.make_vec`` (None and -1 mean no limit); the shorter limit applies
    :param autoreset_mode: an ``AutoresetMode`` or its value
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
        mdp = BitFlip(n_bits, goals, start)
        super().__init__(
            mdp,
            num_envs,
            time_limit=mdp.n_bits if time_limit is None else time_limit,
            max_episode_steps=max_episode_steps,
            autoreset_mode=autoreset_mode,
            render_mode=render_mode,
        )
