"""Rendering of grid worlds."""

from functools import cached_property

import numpy as np

from leo_envs.common.drawing import Color, Coverage, blend, disc, rounded_square
from leo_envs.common.mdp import Frame
from leo_envs.gridworld.maps import GridMap

FLOOR: Color = (247, 245, 240)
LINES: Color = (228, 224, 215)
WALLS: Color = (62, 68, 84)
STARTS: Color = (205, 198, 184)
AGENT: Color = (38, 103, 217)
RIM: Color = (255, 255, 255)
GOAL: Color = (34, 160, 98)
PALE_GOAL: Color = (183, 219, 199)


class GridPainter:
    """
    Renderer of the walls, the agent (blue disc) and the commanded goal (green square).

    :param grid: the map

    Example::

        >>> painter = GridPainter(GridMap("..#"))
        >>> print(painter.text(0, 1))
        AG#
        >>> painter.frame(0, 1).shape
        (48, 144, 3)
    """

    def __init__(self, grid: GridMap) -> None:
        self.grid = grid
        # About 512 pixels along the longer edge, less for small maps.
        self.tile = int(np.clip(512 // max(grid.shape), 4, 48))
        # On large maps the agent and the goal are drawn larger than their cells to be visible.
        self.marker = max(self.tile, 16)

    def frame(self, state: int, commanded_goal: int | None) -> Frame:
        """
        Render a state as an image.

        :param state: the state
        :param commanded_goal: the goal to draw, or None
        :return: RGB ``[height, width, 3]``
        """
        frame = self._background.copy()
        size = self.marker
        if commanded_goal is not None:
            self._stamp(frame, commanded_goal, rounded_square(size, 0.42 * size, 0.14 * size), GOAL)
            self._stamp(frame, commanded_goal, rounded_square(size, 0.30 * size, 0.08 * size), PALE_GOAL)
        self._stamp(frame, state, disc(size, 0.36 * size), RIM)
        self._stamp(frame, state, disc(size, 0.30 * size), AGENT)
        return frame

    def text(self, state: int, commanded_goal: int | None) -> str:
        """
        Render a state as text: ``A`` is the agent, ``G`` the commanded goal, ``*`` the agent on the goal, ``#`` a wall.

        :param state: the state
        :param commanded_goal: the goal to draw, or None
        :return: one line per row of the map
        """
        letters = np.where(self.grid.walls, "#", ".")
        if commanded_goal is not None:
            letters[tuple(self.grid.cells[commanded_goal])] = "G"
        letters[tuple(self.grid.cells[state])] = "*" if state == commanded_goal else "A"
        return "\n".join("".join(row) for row in letters)

    @cached_property
    def _background(self) -> Frame:
        """The parts that do not change: floor, grid lines, walls and start cells."""
        size = self.tile
        cells = np.where(self.grid.walls[..., None], np.array(WALLS), np.array(FLOOR)).astype(np.uint8)
        frame = cells.repeat(size, axis=0).repeat(size, axis=1)
        floor = ~self.grid.walls.repeat(size, axis=0).repeat(size, axis=1)
        edge = np.zeros_like(floor)
        edge[::size] = edge[:, ::size] = True
        if size >= 8:
            frame[floor & edge] = LINES
        for cell in self.grid.starts:
            self._stamp(frame, self.grid.number_of(cell), disc(size, 0.14 * size), STARTS)
        return frame

    def _stamp(self, frame: Frame, number: int, shape: Coverage, color: Color) -> None:
        """Draw a shape centered on a cell, clipped to the frame."""
        row, column = self.grid.cells[number] * self.tile + (self.tile - len(shape)) // 2
        top, left = max(-row, 0), max(-column, 0)
        area = frame[row + top : row + len(shape), column + left : column + len(shape)]
        blend(area, shape[top : top + area.shape[0], left : left + area.shape[1]], color)
