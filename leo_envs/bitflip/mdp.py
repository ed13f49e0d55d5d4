"""Bit flipping as a finite MDP."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_envs.bitflip.rendering import BitPainter
from leo_envs.common.arrays import one_hot
from leo_envs.common.mdp import BoolArray, FiniteMDP, FloatArray, IntArray
from leo_wrappers.validation import check_choice

MAX_BITS = {"pattern": 12, "bit": 20}
"""Largest number of bits by kind of goals: 12 bits have 4,096 patterns, each of which is a goal."""


class BitFlip(FiniteMDP):
    """
    MDP in which action i flips bit i. States are the binary numbers of their bits, bit 0 first: "0110" is state 6.

    :param n_bits: number of bits
    :param goals: "pattern" for one goal per pattern (``2 ** n_bits``), or "bit" for one goal per value of each bit
    :param start: start pattern, or "random"

    Example::

        >>> mdp = BitFlip(4)
        >>> mdp.next_states(0b0110, [0, 1])
        array([14,  2])
        >>> mdp.goal_names[0b0110]
        'pattern/0110'
        >>> BitFlip(2, goals="bit").goal_names
        ('bit/0=0', 'bit/0=1', 'bit/1=0', 'bit/1=1')
    """

    def __init__(self, n_bits: int = 8, goals: str = "pattern", start: str | Sequence[int] = "random") -> None:
        check_choice("goals", goals, tuple(MAX_BITS))
        most = MAX_BITS[goals]
        if isinstance(n_bits, bool) or not isinstance(n_bits, int | np.integer) or not 1 <= n_bits <= most:
            hint = "; goals='bit' allows more" if goals == "pattern" else ""
            raise ValueError(f"expected n_bits from 1 to {most} with goals={goals!r}, got {n_bits!r}; pass fewer bits{hint}")
        self.n_bits = int(n_bits)
        self.goals = goals
        # Place value of each bit in the number of a state.
        self._weights: IntArray = 1 << np.arange(self.n_bits - 1, -1, -1, dtype=np.intp)
        num_states = 2**self.n_bits
        if goals == "pattern":
            names = [f"pattern/{state:0{self.n_bits}b}" for state in range(num_states)]
        else:
            names = [f"bit/{bit}={value}" for bit in range(self.n_bits) for value in (0, 1)]
        super().__init__(
            num_states=num_states,
            num_actions=self.n_bits,
            goal_names=names,
            starts=np.arange(num_states) if isinstance(start, str) and start == "random" else [self.state_at(start)],
            observation_space=spaces.Box(0.0, 1.0, (self.n_bits,), np.float32),
        )

    def next_states(self, states: npt.ArrayLike, actions: npt.ArrayLike) -> IntArray:
        """Return the patterns with the bits flipped."""
        return np.asarray(states, dtype=np.intp) ^ self._weights.take(np.asarray(actions, dtype=np.intp))

    def observe(self, states: npt.ArrayLike) -> FloatArray:
        """Return the bits, each 0.0 or 1.0."""
        return self._bits(states).astype(np.float32)

    def states_of(self, observations: npt.ArrayLike) -> IntArray:
        """Return the states with these bits."""
        array = np.asarray(observations)
        self._check_observations(array)
        return np.asarray((array > 0.5) @ self._weights, dtype=np.intp)

    def achieved(self, states: npt.ArrayLike) -> BoolArray:
        """Return True for the pattern's own goal, or for the value of each bit."""
        if self.goals == "pattern":
            return one_hot(states, self.num_goals, np.bool_)
        bits = self._bits(states)
        return np.stack([~bits, bits], axis=-1).reshape(*bits.shape[:-1], self.num_goals)

    def states_achieving(self, goals: IntArray) -> tuple[IntArray, IntArray]:
        """Return each goal's own pattern, or all pairs of a pattern and one of its bits."""
        if self.goals == "pattern":
            return goals, np.arange(len(goals))
        return super().states_achieving(goals)

    def state_at(self, start: Any) -> int:
        """Return the state of a pattern given as text, "0110", or as a sequence of bits."""
        bits = list(start) if isinstance(start, str | Sequence | np.ndarray) else []
        if len(bits) != self.n_bits or not all(str(bit) in ("0", "1", "0.0", "1.0") for bit in bits):
            example = "01" * self.n_bits
            raise ValueError(f"expected a pattern of {self.n_bits} bits, got {start!r}; pass e.g. {example[: self.n_bits]!r}")
        return int(sum(weight for weight, bit in zip(self._weights.tolist(), bits, strict=True) if float(bit)))

    def goal_descriptors(self) -> FloatArray:
        """Return the bits of each pattern; for single bits, 1 or -1 (bit must be 1 or 0) in the bit's column, 0 elsewhere."""
        if self.goals == "pattern":
            return self.observe(np.arange(self.num_states))
        return np.kron(np.eye(self.n_bits), [[-1.0], [1.0]]).astype(np.float32)

    @cached_property
    def painter(self) -> BitPainter:
        """Renderer of the bits and of the commanded goal below them."""
        return BitPainter(self.n_bits, self.goal_bits)

    def goal_bits(self, goal: int) -> str:
        """
        Return the bits of a goal as text.

        :param goal: goal id
        :return: one character per bit: "0", "1", or "-" for a bit of any value
        """
        if self.goals == "pattern":
            return f"{goal:0{self.n_bits}b}"
        bit, value = divmod(goal, 2)
        return "-" * bit + str(value) + "-" * (self.n_bits - 1 - bit)

    def _bits(self, states: npt.ArrayLike) -> BoolArray:
        return (np.asarray(states, dtype=np.intp)[..., None] & self._weights) != 0
