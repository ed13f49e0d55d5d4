"""The rules of bit flipping."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from leo_envs.bitflip.rendering import BitPainter
from leo_envs.common.arrays import one_hot
from leo_envs.common.mdp import BoolArray, FloatArray, IntArray, World
from leo_wrappers.validation import check_choice

MAX_BITS = {"pattern": 12, "bit": 20}
"""The most bits by kind of goals: 12 bits have 4,096 patterns, and each is a goal."""


class BitFlip(World):
    """
    Action i flips bit i. A state is the number that its bits write, bit 0 first: "0110" is state 6.

    :param n_bits: the number of bits
    :param goals: "pattern", one goal for each of the ``2 ** n_bits`` patterns, or "bit", one for each value of each bit
    :param start: the pattern episodes begin with, or "random"

    Example::

        >>> world = BitFlip(4)
        >>> world.next_states(0b0110, [0, 1])
        array([14,  2])
        >>> world.goal_names[0b0110]
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
        # What each bit counts in the number of a state.
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
        """The pattern with that bit flipped."""
        return np.asarray(states, dtype=np.intp) ^ self._weights.take(np.asarray(actions, dtype=np.intp))

    def observe(self, states: npt.ArrayLike) -> FloatArray:
        """The bits, each 0.0 or 1.0."""
        return self._bits(states).astype(np.float32)

    def states_of(self, observations: npt.ArrayLike) -> IntArray:
        """The numbers that these bits write."""
        array = np.asarray(observations)
        if array.shape[-1:] != (self.n_bits,):
            raise ValueError(f"expected observations of shape (..., {self.n_bits}), got {array.shape}; pass them whole")
        return np.asarray((array > 0.5) @ self._weights, dtype=np.intp)

    def achieved(self, states: npt.ArrayLike) -> BoolArray:
        """The pattern itself, or the value of every bit."""
        if self.goals == "pattern":
            return one_hot(states, self.num_goals, np.bool_)
        bits = self._bits(states)
        return np.stack([~bits, bits], axis=-1).reshape(*bits.shape[:-1], self.num_goals)

    def states_achieving(self, goals: IntArray) -> tuple[IntArray, IntArray]:
        """A pattern is achieved by itself alone."""
        if self.goals == "pattern":
            return goals, np.arange(len(goals))
        return super().states_achieving(goals)

    def state_at(self, place: Any) -> int:
        """The number of a pattern given as text, "0110", or as a sequence of bits."""
        bits = list(place) if isinstance(place, str | Sequence | np.ndarray) else []
        if len(bits) != self.n_bits or not all(str(bit) in ("0", "1", "0.0", "1.0") for bit in bits):
            example = "01" * self.n_bits
            raise ValueError(f"expected a pattern of {self.n_bits} bits, got {place!r}; write e.g. {example[: self.n_bits]!r}")
        return int(sum(weight for weight, bit in zip(self._weights.tolist(), bits, strict=True) if float(bit)))

    def goal_descriptors(self) -> FloatArray:
        """Patterns: their bits. Bits: 1 in the column of a bit that must be one, -1 where it must be zero, 0 elsewhere."""
        if self.goals == "pattern":
            return self.observe(np.arange(self.num_states))
        return np.kron(np.eye(self.n_bits), [[-1.0], [1.0]]).astype(np.float32)

    @cached_property
    def painter(self) -> BitPainter:
        """Draws the bits, and beneath them the goal's."""
        return BitPainter(self.n_bits, self.wanted_bits)

    def wanted_bits(self, goal: int) -> str:
        """
        What a goal asks of each bit.

        :param goal: the goal's id
        :return: a character a bit: "0", "1", or "-" where the goal does not care
        """
        if self.goals == "pattern":
            return f"{goal:0{self.n_bits}b}"
        bit, value = divmod(goal, 2)
        return "-" * bit + str(value) + "-" * (self.n_bits - 1 - bit)

    def _bits(self, states: npt.ArrayLike) -> BoolArray:
        return (np.asarray(states, dtype=np.intp)[..., None] & self._weights) != 0
