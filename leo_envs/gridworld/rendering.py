"""Pictures of a grid world."""

from functools import cached_property

import numpy as np

from leo_envs.common.drawing import Color, blend, disc, rounded_square
from leo_envs.common.world import Frame
from leo_envs.gridworld.maps import GridMap

FLOOR: Color = (247, 245, 240)
LINES: Color = (228, 224, 215)
WALLS: Color = (62, 68, 84)
STARTS: Color = (205, 198, 184)
AGENT: Color = (38, 103, 217)
RIM: Color = (255, 255, 255)
GOAL: Color = (34, 160, 98)


class GridPainter:
    """
    Draws the agent (a blue disc), the walls and the commanded goal (a green square).

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
        # About 512 pixels along the longer edge, whatever the map; small maps are not blown up.
        self.tile = int(np.clip(512 // max(grid.shape), 4, 48))

    def frame(self, state: int, commanded_goal: int | None) -> Frame:
        """
        The state as a picture.

        :param state: the number of the agent's cell
        :param commanded_goal: the goal to mark
        :return: RGB ``[height, width, 3]``
        """
        frame = self._background.copy()
        size = self.tile
        if commanded_goal is not None:
            tile = self._tile_of(frame, commanded_goal)
            blend(tile, rounded_square(size, 0.42 * size, 0.14 * size), GOAL)
            blend(tile, rounded_square(size, 0.30 * size, 0.08 * size), FLOOR)
            blend(tile, rounded_square(size, 0.30 * size, 0.08 * size), GOAL, opacity=0.3)
        tile = self._tile_of(frame, state)
        blend(tile, disc(size, 0.36 * size), RIM)
        blend(tile, disc(size, 0.30 * size), AGENT)
        return frame

    def text(self, state: int, commanded_goal: int | None) -> str:
        """
        The state as lines: ``A`` the agent, ``G`` the commanded goal, ``*`` the agent on it, ``#`` walls.

        :param state: the number of the agent's cell
        :param commanded_goal: the goal to mark
        :return: one line a row
        """
        letters = np.where(self.grid.walls, "#", ".")
        if commanded_goal is not None:
            letters[tuple(self.grid.cells[commanded_goal])] = "G"
        letters[tuple(self.grid.cells[state])] = "*" if state == commanded_goal else "A"
        return "\n".join("".join(row) for row in letters)

    @cached_property
    def _background(self) -> Frame:
        """Floor, lines between the cells, walls and start marks: the same in every picture."""
        size = self.tile
        cells = np.where(self.grid.walls[..., None], np.array(WALLS), np.array(FLOOR)).astype(np.uint8)
        frame = cells.repeat(size, axis=0).repeat(size, axis=1)
        floor = ~self.grid.walls.repeat(size, axis=0).repeat(size, axis=1)
        edge = np.zeros_like(floor)
        edge[::size] = edge[:, ::size] = True
        if size >= 8:
            frame[floor & edge] = LINES
        for row, column in self.grid.starts:
            tile = frame[row * size : (row + 1) * size, column * size : (column + 1) * size]
            blend(tile, disc(size, 0.14 * size), STARTS)
        return frame

    def _tile_of(self, frame: Frame, number: int) -> Frame:
        row, column = self.grid.cells[number] * self.tile
        return frame[row : row + self.tile, column : column + self.tile]
