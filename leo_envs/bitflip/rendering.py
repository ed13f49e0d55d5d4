"""Rendering of bits."""

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
    Renderer of a row of bits, bright where the bit is 1, with the bits of the commanded goal below. Bits that match the goal
    have a green border.

    :param n_bits: number of bits
    :param goal_bits: function from a goal id to the goal's bits as text, "-" for a bit of any value

    Example::

        >>> painter = BitPainter(3, lambda goal: f"{goal:03b}")
        >>> print(painter.text(0b101, 0b100))
        bits 101
        goal 100
        >>> painter.frame(0b101, 0b100).shape
        (96, 144, 3)
    """

    def __init__(self, n_bits: int, goal_bits: Callable[[int], str]) -> None:
        self.n_bits = n_bits
        self.goal_bits = goal_bits

    def frame(self, state: int, commanded_goal: int | None) -> Frame:
        """
        Render a state as an image.

        :param state: the state
        :param commanded_goal: the goal to draw below the bits, or None
        :return: RGB ``[2 * TILE, n_bits * TILE, 3]``
        """
        frame = np.empty((2 * TILE, self.n_bits * TILE, 3), dtype=np.uint8)
        frame[...] = PAPER
        targets = "-" * self.n_bits if commanded_goal is None else self.goal_bits(commanded_goal)
        for bit, (value, target) in enumerate(zip(f"{state:0{self.n_bits}b}", targets, strict=True)):
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
        Render a state as text.

        :param state: the state
        :param commanded_goal: the goal, or None
        :return: one line with the bits and one with the bits of the goal
        """
        bits = f"bits {state:0{self.n_bits}b}"
        return bits if commanded_goal is None else f"{bits}\ngoal {self.goal_bits(commanded_goal)}"
