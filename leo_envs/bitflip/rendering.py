"""Pictures of bits."""

from collections.abc import Callable

import numpy as np

from leo_envs.common.drawing import Color, blend, rounded_square
from leo_envs.common.mdp import Frame

PAPER: Color = (247, 245, 240)
OFF: Color = (62, 68, 84)
ON: Color = (245, 180, 54)
MATCH: Color = (34, 160, 98)
TILE = 48


class BitPainter:
    """
    Draws a row of tiles, bright where the bit is one, and beneath it the commanded goal's bits. The tile of a bit that is
    as the goal wants it has a green rim.

    :param n_bits: the number of bits
    :param wanted_bits: from a goal's id to what it asks of each bit, "-" where it does not care

    Example::

        >>> painter = BitPainter(3, lambda goal: f"{goal:03b}")
        >>> print(painter.text(0b101, 0b100))
        bits 101
        goal 100
        >>> painter.frame(0b101, 0b100).shape
        (96, 144, 3)
    """

    def __init__(self, n_bits: int, wanted_bits: Callable[[int], str]) -> None:
        self.n_bits = n_bits
        self.wanted_bits = wanted_bits

    def frame(self, state: int, commanded_goal: int | None) -> Frame:
        """
        The state as a picture.

        :param state: the pattern's number
        :param commanded_goal: the goal to draw beneath
        :return: RGB ``[2 tiles, n_bits tiles, 3]``
        """
        frame = np.empty((2 * TILE, self.n_bits * TILE, 3), dtype=np.uint8)
        frame[...] = PAPER
        wanted = "-" * self.n_bits if commanded_goal is None else self.wanted_bits(commanded_goal)
        for bit, (value, target) in enumerate(zip(f"{state:0{self.n_bits}b}", wanted, strict=True)):
            column = frame[:, bit * TILE : (bit + 1) * TILE]
            if value == target:
                blend(column[:TILE], rounded_square(TILE, 0.46 * TILE, 0.2 * TILE), MATCH)
                blend(column[:TILE], rounded_square(TILE, 0.40 * TILE, 0.15 * TILE), PAPER)
            blend(column[:TILE], rounded_square(TILE, 0.36 * TILE, 0.12 * TILE), ON if value == "1" else OFF)
            if target != "-":
                blend(column[TILE:], rounded_square(TILE, 0.20 * TILE, 0.08 * TILE), ON if target == "1" else OFF)
        return frame

    def text(self, state: int, commanded_goal: int | None) -> str:
        """
        The state as lines.

        :param state: the pattern's number
        :param commanded_goal: the goal to write beneath
        :return: the bits and, beneath them, the goal's
        """
        bits = f"bits {state:0{self.n_bits}b}"
        return bits if commanded_goal is None else f"{bits}\ngoal {self.wanted_bits(commanded_goal)}"
