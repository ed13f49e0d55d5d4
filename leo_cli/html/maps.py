"""Maps and heat maps as SVG."""

import base64
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from leo_agents.evaluation.goal_maps import Lattice, lattice_of
from leo_agents.evaluation.goal_report import FloatArray
from leo_agents.evaluation.plots import short_number
from leo_cli.html.charts import shortened, svg
from leo_cli.html.colours import ramp
from leo_cli.html.markup import text

_SIDE = 360.0
# Beyond this many cells a picture is smaller than as many rectangles.
_MOST_CELLS = 1_500


def goal_map(
    positions: FloatArray, axes: tuple[str, str], shares: FloatArray, titles: Sequence[str], description: str, mark: int = -1
) -> str:
    """
    A colour for each goal where it lies.

    :param positions: of the goals ``[G, 2]``
    :param axes: what the coordinates are; an axis called "row" points downwards
    :param shares: the colours, from 0 to 1, NaN for none
    :param titles: shown when a goal is pointed at
    :param description: for those who cannot see it
    :param mark: a goal to draw a ring around; -1 for none
    :return: markup
    """
    lattice = lattice_of(positions)
    down = axes[1] == "row"
    if lattice is None:
        return _scatter(positions, down, shares, titles, description)
    rows, columns = lattice.shape
    cell = _SIDE / max(rows, columns)
    level = lattice.rows if down else rows - 1 - lattice.rows
    if len(shares) > _MOST_CELLS:
        content = _cells_as_picture(lattice, level, shares, cell)
    else:
        boxes = zip(lattice.columns.tolist(), level.tolist(), shares.tolist(), titles, strict=True)
        content = "".join(_cell(x * cell, y * cell, cell, share, title) for x, y, share, title in boxes)
    if mark >= 0:
        x, y = (lattice.columns[mark] + 0.5) * cell, (level[mark] + 0.5) * cell
        content += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{0.4 * cell:.1f}" class="ring"/>'
    return svg(columns * cell, rows * cell, content, description, "map")


def heat_map(heat: FloatArray, timesteps: npt.NDArray[np.int64], families: dict[str, int], description: str) -> str:
    """
    Success at every goal over time.

    :param heat: from 0 to 1, ``[goals, T]`` in the order to draw, NaN where there is none
    :param timesteps: when, ``[T]``
    :param families: at which row each begins
    :param description: for those who cannot see it
    :return: markup
    """
    left, bottom, width = 96.0, 36.0, 480.0
    inner = width - left - 10
    height = float(np.clip(1.7 * len(heat), 150, 430))
    picture = _picture(heat)
    box = f'x="{left}" y="0" width="{inner}" height="{height}" preserveAspectRatio="none"'
    parts = [f'<image {box} class="pixels" href="{picture}"/>']
    named_at = -20.0
    ends = [*list(families.values())[1:], len(heat)]
    for (family, start), end in zip(families.items(), ends, strict=True):
        y, middle = height * start / len(heat), height * (start + end) / 2 / len(heat)
        if start:
            parts.append(f'<line x1="{left - 6}" x2="{width - 10}" y1="{y:.1f}" y2="{y:.1f}" class="cut"/>')
        if middle - named_at >= 13:
            named_at = middle
            name = f"{text(shortened(family, 14))}<title>{text(family)}</title>"
            parts.append(f'<text x="{left - 8}" y="{middle + 4:.1f}" text-anchor="end">{name}</text>')
    for share in (0.0, 0.5, 1.0):
        x = left + share * inner
        anchor = "end" if share == 1.0 else "middle"
        step = short_number(float(f"{share * timesteps[-1]:.2g}"))
        parts.append(f'<text x="{x:.1f}" y="{height + 16}" text-anchor="{anchor}">{step}</text>')
    parts.append(f'<text x="{left + inner / 2}" y="{height + 32}" text-anchor="middle" class="label">environment steps</text>')
    return svg(width, height + bottom, "".join(parts), description)


def _cell(x: float, y: float, size: float, share: float, title: str) -> str:
    box = f'x="{x:.2f}" y="{y:.2f}" width="{size:.2f}" height="{size:.2f}"'
    return f"<rect {box} {_fill(share)}><title>{text(title)}</title></rect>"


def _fill(share: float) -> str:
    return 'class="none"' if np.isnan(share) else f'fill="{ramp(share)}"'


def _scatter(positions: FloatArray, down: bool, shares: FloatArray, titles: Sequence[str], description: str) -> str:
    low, span = positions.min(axis=0), max(float(np.ptp(positions, axis=0).max()), 1e-9)
    places = (positions - low) / span * (_SIDE - 20) + 10
    height = float(places[:, 1].max()) + 10
    radius = float(np.clip(120 / np.sqrt(len(shares)), 3, 9))
    parts = []
    for (x, y), share, title in zip(places.tolist(), shares.tolist(), titles, strict=True):
        place = f'cx="{x:.1f}" cy="{y if down else height - y:.1f}" r="{radius:.1f}"'
        parts.append(f"<circle {place} {_fill(share)}><title>{text(title)}</title></circle>")
    return svg(float(places[:, 0].max()) + 10, height, "".join(parts), description, "map")


def _cells_as_picture(lattice: Lattice, level: npt.NDArray[np.int64], values: FloatArray, cell: float) -> str:
    grid = np.full(lattice.shape, np.nan)
    grid[level, lattice.columns] = values
    rows, columns = lattice.shape
    return f'<image width="{columns * cell:.1f}" height="{rows * cell:.1f}" class="pixels" href="{_picture(grid)}"/>'


def _picture(values: FloatArray) -> str:
    """A pixel a number, transparent where there is none."""
    levels = [ramp(share / 255) for share in range(256)]
    table = np.array([[int(colour[place : place + 2], 16) for place in (1, 3, 5)] for colour in levels], dtype=np.uint8)
    pixels = np.zeros((*values.shape, 4), dtype=np.uint8)
    known = ~np.isnan(values)
    pixels[known, :3] = table[np.round(255 * np.clip(values[known], 0.0, 1.0)).astype(int)]
    pixels[known, 3] = 255
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "png", optimize=True)
    return data_uri("image/png", target.getvalue())


def data_uri(kind: str, content: bytes) -> str:
    """
    :param kind: the content's type
    :param content: of a file
    :return: the file as an address, so that the page needs no other
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
