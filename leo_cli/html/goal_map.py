"""Maps of goals and of states as SVG."""

from collections.abc import Sequence

import numpy as np

from leo_agents.evaluation.goal_maps import lattice_of
from leo_agents.evaluation.goal_report import FloatArray, IntArray
from leo_cli.goal_positions import GoalPositions
from leo_cli.html.charts import svg
from leo_cli.html.colors import ramp
from leo_cli.html.heat_map import pixel_image
from leo_cli.html.markup import element, text

_SIDE = 360.0
_MARGIN, _MAX_RADIUS, _CROSS_ARM = 10.0, 16.0, 11.0
# Beyond this number of cells an image is smaller than rectangles.
_MAX_RECTANGLES = 1_500


def goal_map(
    positions: GoalPositions,
    values: FloatArray,
    titles: Sequence[str],
    description: str,
    *,
    ring: int = -1,
    cross: FloatArray | None = None,
    edges: IntArray | None = None,
) -> str:
    """
    Draw a map with one colored cell or dot per goal; goals in 3D are drawn in layers side by side.

    :param positions: positions of the goals
    :param values: values between 0 and 1 of each goal, ``[G]``; NaN stays blank
    :param titles: tooltip of each goal
    :param description: text alternative
    :param ring: index of a goal to mark with a ring; -1 for none
    :param cross: point ``[2]`` or ``[3]`` to mark with a cross
    :param edges: pairs of goals to join by a line, ``[E, 2]``
    """
    canvas, layers = _Canvas(positions), positions.layers()
    cross_layer = -1 if cross is None else positions.layer_at(float(cross[-1]))
    maps = []
    for number, (title, goals) in enumerate(layers):
        content = canvas.goals(goals, values, titles) + (canvas.ring(ring) if ring in goals else "")
        content += canvas.cross(cross) if cross is not None and number == cross_layer else ""
        content += canvas.edges(edges) if edges is not None else ""
        maps.append(svg(canvas.width, canvas.height, content, f"{description} {title}".strip(), "map"))
    if len(layers) == 1:
        return maps[0]
    titled = [element("div", markup + text(title)) for markup, (title, _) in zip(maps, layers, strict=True)]
    return element("div", "".join(titled), class_="layers")


def state_map(positions: GoalPositions, states: FloatArray, values: FloatArray, description: str, ring: int) -> str:
    """
    Draw states as colored dots above blank cells of the goals.

    :param positions: 2D positions of the goals
    :param states: positions of the states, ``[S, 2]``
    :param values: values between 0 and 1 of each state, ``[S]``
    :param description: text alternative
    :param ring: index of a goal to mark with a ring
    """
    canvas, num_goals = _Canvas(positions), len(positions.positions)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{ramp(value)}"/>'
        for (x, y), value in zip(canvas.locate(states).tolist(), values.tolist(), strict=True)
    )
    cells = canvas.goals(np.arange(num_goals), np.full(num_goals, np.nan), [""] * num_goals)
    return svg(canvas.width, canvas.height, cells + dots + canvas.ring(ring), description, "map")


class _Canvas:
    """Drawing area with the goals as cells if they are on a lattice, else as dots."""

    def __init__(self, positions: GoalPositions) -> None:
        self._positions, self._rows_point_down = positions.positions, positions.axes[1] == "row"
        # Goals with the same horizontal position share a cell.
        distinct, self._cell_of = np.unique(np.round(positions.positions, 9), axis=0, return_inverse=True)
        self._cell_of = self._cell_of.reshape(-1)
        self._lattice = lattice_of(distinct)
        if self._lattice is None:
            size = np.ptp(distinct, axis=0)
            self._scale = np.full(2, (_SIDE - 2 * _MARGIN) / max(float(size.max()), 1e-9))
            self._low = distinct.min(axis=0) - _MARGIN / self._scale
            self.width, self.height = (size * self._scale + 2 * _MARGIN).tolist()
            self._radius = float(np.clip(120 / np.sqrt(len(distinct)), 3, 9))
        else:
            rows, columns = self._lattice.shape
            self._cell = _SIDE / max(rows, columns)
            self._scale, self._low = self._cell / self._lattice.step, self._lattice.low
            self.width, self.height = columns * self._cell, rows * self._cell
            self._radius = min(0.4 * self._cell, _MAX_RADIUS)

    def locate(self, points: FloatArray) -> FloatArray:
        """Convert points to coordinates of the drawing."""
        located: FloatArray = (np.asarray(points, dtype=np.float64)[:, :2] - self._low) * self._scale
        if not self._rows_point_down:
            located[:, 1] = self.height - located[:, 1]
        return located

    def goals(self, goals: IntArray, values: FloatArray, titles: Sequence[str]) -> str:
        if self._lattice is not None and len(goals) > _MAX_RECTANGLES:
            return self._goals_as_image(goals, values)
        kind, parts = "circle" if self._lattice is None else "rect", []
        for goal, (x, y) in zip(goals.tolist(), self.locate(self._positions[goals]).tolist(), strict=True):
            if self._lattice is None:
                box = f'cx="{x:.1f}" cy="{y:.1f}" r="{self._radius:.1f}"'
            else:
                half, side = self._cell / 2, f"{self._cell:.2f}"
                box = f'x="{x - half:.2f}" y="{y - half:.2f}" width="{side}" height="{side}"'
            name = f"<title>{text(titles[goal])}</title>" if titles[goal] else ""
            parts.append(f"<{kind} {box} {_fill(float(values[goal]))}>{name}</{kind}>")
        return "".join(parts)

    def ring(self, goal: int) -> str:
        if goal < 0:
            return ""
        ((x, y),) = self.locate(self._positions[[goal]]).tolist()
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{self._radius:.1f}" class="ring"/>'

    def cross(self, point: FloatArray) -> str:
        """Draw a cross; empty for a point outside of the drawing."""
        ((x, y),) = self.locate(point[None]).tolist()
        if not (0 <= x <= self.width and 0 <= y <= self.height):
            return ""
        arm = _CROSS_ARM
        lines = f"M{x - arm:.1f} {y:.1f}h{2 * arm:.1f}M{x:.1f} {y - arm:.1f}v{2 * arm:.1f}"
        # A light cross with a dark outline is visible on every color.
        return f'<path d="{lines}" class="cross under"/><path d="{lines}" class="cross"/>'

    def edges(self, pairs: IntArray) -> str:
        starts, ends = (self.locate(self._positions[goals]).tolist() for goals in pairs.T)
        lines = "".join(f"M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}" for (x, y), (to_x, to_y) in zip(starts, ends, strict=True))
        return f'<path d="{lines}" class="edge under"/><path d="{lines}" class="edge"/>'

    def _goals_as_image(self, goals: IntArray, values: FloatArray) -> str:
        assert self._lattice is not None
        rows, columns = self._lattice.shape
        cells: IntArray = self._cell_of[goals]
        row = self._lattice.rows[cells]
        grid = np.full((rows, columns), np.nan)
        grid[row if self._rows_point_down else rows - 1 - row, self._lattice.columns[cells]] = values[goals]
        return f'<image width="{self.width:.1f}" height="{self.height:.1f}" class="pixels" href="{pixel_image(grid)}"/>'


def _fill(value: float) -> str:
    return 'class="none"' if np.isnan(value) else f'fill="{ramp(value)}"'
