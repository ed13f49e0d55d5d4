"""Bit flipping as a Gymnasium environment."""

from collections.abc import Sequence

from leo_envs.bitflip.mdp import BitFlip
from leo_envs.common.env import FiniteMDPEnv


class BitFlipEnv(FiniteMDPEnv):
    """
    Bit flipping, the sparse-reward task of the HER paper, with the mask of all goals.

    - **Actions**: ``Discrete(n_bits)``: the bit to flip.
    - **Observation**: the bits as float32, ``(n_bits,)``.
    - **Goals**, by ``goals``: "pattern/0110" for each of the ``2 ** n_bits`` patterns (bit 0 first), or "bit/3=1" for each
      value of each bit. To achieve its current pattern *again*, the agent must flip a bit and flip it back.
    - **Reward**: always 0.0; a goal-conditioned wrapper computes the reward from the mask.
    - **Termination**: never. The environment truncates after ``time_limit`` steps, by default ``n_bits``, the largest distance
      between two patterns. Gymnasium's ``max_episode_steps`` can only shorten episodes.

    :param n_bits: number of bits, at most 12 with ``goals="pattern"`` and 20 with ``goals="bit"``
    :param goals: "pattern" or "bit"
    :param start: start pattern, as text or bits, or "random"
    :param time_limit: truncate after this many steps; ``n_bits`` when None
    :param render_mode: "rgb_array", "human", "ansi" or None

    Example::

        >>> import gymnasium as gym
        >>> import leo_envs
        >>> env = gym.make("leo/BitFlip-v0", n_bits=2, start="00")
        >>> observation, info = env.reset()
        >>> observation, reward, terminated, truncated, info = env.step(1)
        >>> observation, env.unwrapped.goal_names, info["goals_achieved"].tolist()
        (array([0., 1.], dtype=float32), ('pattern/00', 'pattern/01', 'pattern/10', 'pattern/11'), [False, True, False, False])
        >>> env.unwrapped.distances()[0]  # achieving "00" again takes two steps
        array([2, 1, 1, 2], dtype=int32)
    """

    def __init__(
        self,
        n_bits: int = 8,
        *,
        goals: str = "pattern",
        start: str | Sequence[int] = "random",
        time_limit: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        mdp = BitFlip(n_bits, goals, start)
        super().__init__(mdp, time_limit=mdp.n_bits if time_limit is None else time_limit, render_mode=render_mode)
