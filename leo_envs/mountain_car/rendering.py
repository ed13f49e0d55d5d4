"""Rendering of the mountain car."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from leo_envs.common.drawing import Color, blend, disc
from leo_envs.common.mdp import Frame

SKY: Color = (247, 245, 240)
HILL: Color = (62, 68, 84)
CAR: Color = (38, 103, 217)
RIM: Color = (255, 255, 255)
GOAL: Color = (34, 160, 98)

WIDTH, HEIGHT, CAR_SIZE = 540, 300, 26


class HillPainter:
    """
    Renderer of the valley, the car (blue disc) and the positions of the commanded goal (green section of the road).

    :param position_and_velocity: function from a state to its position and velocity
    :param goal_names: names of the goals
    :param ends: left and right end of the valley
    :param interval: function from a goal id to its smallest and largest position
    """

    def __init__(
        self,
        position_and_velocity: Callable[[int], Any],
        goal_names: Sequence[str],
        ends: tuple[float, float],
        interval: Callable[[int], tuple[float, float]],
    ) -> None:
        self._position_and_velocity = position_and_velocity
        self._goal_names = goal_names
        self._ends = ends
        self._interval = interval

    def frame(self, state: int, commanded_goal: int | None) -> Frame:
        """
        Render a state as an image.

        :param state: the state
        :param commanded_goal: the goal to draw, or None
        :return: RGB ``[height, width, 3]``
        """
        columns = np.linspace(*self._ends, WIDTH)
        below = np.arange(HEIGHT)[:, None] - _road(columns)
        frame = np.where((below >= 0)[..., None], np.array(HILL), np.array(SKY)).astype(np.uint8)
        if commanded_goal is not None:
            low, high = self._interval(commanded_goal)
            frame[(below >= 0) & (below < 12) & (columns >= low) & (columns <= high)] = GOAL
        position = float(self._position_and_velocity(state)[0])
        x = (position - self._ends[0]) / (self._ends[1] - self._ends[0]) * (WIDTH - 1)
        top, left = round(float(_road(np.array(position))) - CAR_SIZE), round(x - CAR_SIZE / 2)
        # At the ends of the valley, half of the car is outside the frame.
        padded = np.pad(frame, ((CAR_SIZE, CAR_SIZE), (CAR_SIZE, CAR_SIZE), (0, 0)), mode="edge")
        tile = padded[top + CAR_SIZE : top + 2 * CAR_SIZE, left + CAR_SIZE : left + 2 * CAR_SIZE]
        blend(tile, disc(CAR_SIZE, 0.48 * CAR_SIZE), RIM)
        blend(tile, disc(CAR_SIZE, 0.42 * CAR_SIZE), CAR)
        return padded[CAR_SIZE:-CAR_SIZE, CAR_SIZE:-CAR_SIZE].copy()

    def text(self, state: int, commanded_goal: int | None) -> str:
        """
        Render a state as text.

        :param state: the state
        :param commanded_goal: the goal, or None
        :return: one line with the state and one with the name of the goal
        """
        position, velocity = self._position_and_velocity(state)
        line = f"position {position:+.3f} velocity {velocity:+.4f}"
        return line if commanded_goal is None else f"{line}\ngoal {self._goal_names[commanded_goal]}"


def _road(positions: Any) -> Any:
    """Return the distance of the road from the top of the frame, in pixels."""
    return HEIGHT - 40.0 - (np.sin(3.0 * positions) + 1.0) / 2.0 * (HEIGHT - 100.0)
