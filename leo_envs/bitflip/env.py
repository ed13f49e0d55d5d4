"""Bit flipping as a Gymnasium environment."""

from collections.abc import Sequence

from leo_envs.bitflip.mdp import BitFlip
from leo_envs.common.env import WorldEnv


class BitFlipEnv(WorldEnv):
    """
    n bits of which one is flipped at each step: the sparse task that made hindsight relabelling known, with every goal at
    once.

    - **Actions**: ``Discrete(n_bits)``: the bit to flip.
    - **Observation**: the bits as float32, ``(n_bits,)``.
    - **Goals**, by ``goals``: "pattern/0110" for each of the ``2 ** n_bits`` patterns (bit 0 first), or "bit/3=1" for each
      value of each bit. To achieve its own pattern *again* the agent must flip a bit and flip it back.
    - **Reward**: 0.0 always; a goal-conditioned wrapper makes the reward from the mask.
    - **Ends**: nothing terminates. The environment truncates itself after ``n_bits`` steps, the longest way there is, unless
      ``time_limit`` says otherwise; Gymnasium's ``max_episode_steps`` can only shorten that.

    :param n_bits: the number of bits: 12 at most with goals "pattern", 20 with "bit"
    :param goals: "pattern" or "bit"
    :param start: the pattern episodes begin with, as text or bits, or "random"
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
        >>> env.unwrapped.distances()[0]  # "00" again takes two steps
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
        world = BitFlip(n_bits, goals, start)
        super().__init__(world, time_limit=world.n_bits if time_limit is None else time_limit, render_mode=render_mode)
