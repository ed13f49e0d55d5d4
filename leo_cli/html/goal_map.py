"""Goals where they lie, and places from which they are seen, as SVG."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from leo_agents.evaluation.goal_maps import lattice_of
from leo_agents.evaluation.goal_report import FloatArray, IntArray
from leo_cli.goal_positions import Places
from leo_cli.html.charts import svg
from leo_cli.html.colours import ramp
from leo_cli.html.maps import picture
from leo_cli.html.markup import element, text

_SIDE = 360.0
_MARGIN, _MOST_RING = 10.0, 16.0
# Beyond this many cells a picture is smaller than as many rectangles.
_MOST_CELLS = 1_500


def goal_map(
    places: Places,
    shares: FloatArray,
    titles: Sequence[str],
    description: str,
    *,
    ring: int = -1,
    cross: FloatArray | None = None,
) -> str:
    """
    A colour for each goal where it lies; goals in space in layers side by side.

    :param places: of the goals
    :param shares: the colours, from 0 to 1, NaN for none
    :param titles: shown when a goal is pointed at
    :param description: for those who cannot see it
    :param ring: a goal to draw a ring around; -1 for none
    :param cross: a point ``[2]`` or ``[3]`` to mark
    :return: markup
    """
    plane, layers = _Plane(places), places.layers()
    marked = -1 if cross is None else places.layer_at(float(cross[-1]))
    pictures = []
    for number, (title, goals) in enumerate(layers):
        content = plane.goals(goals, shares, titles) + (plane.ring(ring) if ring in goals else "")
        content += plane.cross(cross) if cross is not None and number == marked else ""
        pictures.append(svg(plane.width, plane.height, content, f"{description} {title}".strip(), "map"))
    if len(layers) == 1:
        return pictures[0]
    named = zip(pictures, layers, strict=True)
    return element("div", "".join(element("div", picture + text(title)) for picture, (title, _) in named), class_="layers")


def dot_map(places: Places, points: FloatArray, shares: FloatArray, description: str, ring: int) -> str:
    """
    Coloured dots above the cells of the goals.

    :param places: of the goals, in the plane
    :param points: of the dots, ``[N, 2]``
    :param shares: their colours
    :param description: for those who cannot see it
    :param ring: the goal to draw a ring around
    :return: markup
    """
    plane, everything = _Plane(places), np.arange(len(places.positions))
    blank = np.full(len(everything), np.nan)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{ramp(share)}"/>'
        for (x, y), share in zip(plane.at(points).tolist(), shares.tolist(), strict=True)
    )
    content = plane.goals(everything, blank, [""] * len(everything)) + dots + plane.ring(ring)
    return svg(plane.width, plane.height, content, description, "map")


class _Plane:
    """The plane in which goals lie, as a picture: cells where they lie on a lattice, else dots."""

    def __init__(self, places: Places) -> None:
        self._positions, self._down = places.positions, places.axes[1] == "row"
        # Goals above each other share a cell.
        distinct, self._place_of = np.unique(np.round(places.positions, 9), axis=0, return_inverse=True)
        self._place_of = self._place_of.reshape(-1)
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
            self._radius = min(0.4 * self._cell, _MOST_RING)

    def at(self, points: FloatArray) -> FloatArray:
        """Where points are in the picture."""
        placed: FloatArray = (np.asarray(points, dtype=np.float64)[:, :2] - self._low) * self._scale
        if not self._down:
            placed[:, 1] = self.height - placed[:, 1]
        return placed

    def goals(self, goals: IntArray, shares: FloatArray, titles: Sequence[str]) -> str:
        if self._lattice is not None and len(goals) > _MOST_CELLS:
            return self._cells_as_picture(goals, shares)
        kind, parts = "circle" if self._lattice is None else "rect", []
        for goal, (x, y) in zip(goals.tolist(), self.at(self._positions[goals]).tolist(), strict=True):
            if self._lattice is None:
                box = f'cx="{x:.1f}" cy="{y:.1f}" r="{self._radius:.1f}"'
            else:
                half, side = self._cell / 2, f"{self._cell:.2f}"
                box = f'x="{x - half:.2f}" y="{y - half:.2f}" width="{side}" height="{side}"'
            name = f"<title>{text(titles[goal])}</title>" if titles[goal] else ""
            parts.append(f"<{kind} {box} {_fill(float(shares[goal]))}>{name}</{kind}>")
        return "".join(parts)

    def ring(self, goal: int) -> str:
        if goal < 0:
            return ""
        ((x, y),) = self.at(self._positions[[goal]]).tolist()
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{self._radius:.1f}" class="ring"/>'

    def cross(self, point: FloatArray) -> str:
        """Nothing for a point outside of the picture."""
        ((x, y),) = self.at(point[None]).tolist()
        if not (0 <= x <= self.width and 0 <= y <= self.height):
            return ""
        arm = 11.0
        lines = f"M{x - arm:.1f} {y:.1f}h{2 * arm:.1f}M{x:.1f} {y - arm:.1f}v{2 * arm:.1f}"
        # A light cross in a dark one is seen on every colour.
        return f'<path d="{lines}" class="cross under"/><path d="{lines}" class="cross"/>'

    def _cells_as_picture(self, goals: IntArray, shares: FloatArray) -> str:
        assert self._lattice is not None
        rows, columns = self._lattice.shape
        place: npt.NDArray[np.int64] = self._place_of[goals]
        level = self._lattice.rows[place]
        grid = np.full((rows, columns), np.nan)
        grid[level if self._down else rows - 1 - level, self._lattice.columns[place]] = shares[goals]
        return f'<image width="{self.width:.1f}" height="{self.height:.1f}" class="pixels" href="{picture(grid)}"/>'


def _fill(share: float) -> str:
    return 'class="none"' if np.isnan(share) else f'fill="{ramp(share)}"'
