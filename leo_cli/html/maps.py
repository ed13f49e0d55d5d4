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
from leo_cli.html.charts import svg
from leo_cli.html.colours import ramp
from leo_cli.html.markup import text

_SIDE = 360.0
# Beyond this many cells a picture is smaller than as many rectangles.
_MOST_CELLS = 1_500


def goal_map(
    positions: FloatArray,
    axes: tuple[str, str],
    values: FloatArray,
    names: Sequence[str],
    description: str,
    mark: int | None = None,
) -> str:
    """
    A value for each goal where it lies.

    :param positions: of the goals ``[G, 2]``
    :param axes: what the coordinates are; an axis called "row" points downwards
    :param values: from 0 to 1, NaN where there is none
    :param names: of the goals
    :param description: for those who cannot see it
    :param mark: a goal to draw a ring around
    :return: markup
    """
    lattice = lattice_of(positions)
    down = axes[1] == "row"
    if lattice is None:
        return _scatter(positions, down, values, names, description)
    rows, columns = lattice.shape
    cell = _SIDE / max(rows, columns)
    level = lattice.rows if down else rows - 1 - lattice.rows
    if len(values) > _MOST_CELLS:
        content = _cells_as_picture(lattice, level, values, cell)
    else:
        boxes = zip(lattice.columns.tolist(), level.tolist(), values.tolist(), names, strict=True)
        content = "".join(_cell(x * cell, y * cell, cell, value, name) for x, y, value, name in boxes)
    if mark is not None:
        x, y = (lattice.columns[mark] + 0.5) * cell, (level[mark] + 0.5) * cell
        content += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{0.36 * cell:.1f}" class="ring"/>'
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
    height = float(np.clip(2.2 * len(heat), 150, 560))
    picture = _picture(heat)
    parts = [
        f'<image x="{left}" y="0" width="{inner}" height="{height}" preserveAspectRatio="none" class="pixels" href="{picture}"/>'
    ]
    named_at = -20.0
    for family, start in families.items():
        y = height * start / len(heat)
        if start:
            parts.append(f'<line x1="{left - 6}" x2="{width - 10}" y1="{y:.1f}" y2="{y:.1f}" class="cut"/>')
        if y - named_at >= 13:
            named_at = y
            short = family if len(family) <= 14 else family[:13] + "…"
            parts.append(
                f'<text x="{left - 8}" y="{y + 11:.1f}" text-anchor="end">{text(short)}<title>{text(family)}</title></text>'
            )
    for share in (0.0, 0.5, 1.0):
        x = left + share * inner
        anchor = "end" if share == 1.0 else "middle"
        step = short_number(round(share * float(timesteps[-1])))
        parts.append(f'<text x="{x:.1f}" y="{height + 16}" text-anchor="{anchor}">{step}</text>')
    parts.append(f'<text x="{left + inner / 2}" y="{height + 32}" text-anchor="middle" class="label">environment steps</text>')
    return svg(width, height + bottom, "".join(parts), description)


def _cell(x: float, y: float, size: float, value: float, name: str) -> str:
    known = not np.isnan(value)
    fill = f' fill="{ramp(value)}"' if known else ' class="none"'
    title = f"{name}: {100 * value:.0f} %" if known else f"{name}: not attempted"
    box = f'x="{x:.2f}" y="{y:.2f}" width="{size:.2f}" height="{size:.2f}"'
    return f"<rect {box}{fill}><title>{text(title)}</title></rect>"


def _scatter(positions: FloatArray, down: bool, values: FloatArray, names: Sequence[str], description: str) -> str:
    low, span = positions.min(axis=0), max(float(np.ptp(positions, axis=0).max()), 1e-9)
    places = (positions - low) / span * (_SIDE - 20) + 10
    height = float(places[:, 1].max()) + 10
    radius = float(np.clip(120 / np.sqrt(len(values)), 3, 9))
    parts = []
    for (x, y), value, name in zip(places.tolist(), values.tolist(), names, strict=True):
        known = not np.isnan(value)
        fill = f'fill="{ramp(value)}"' if known else 'class="none"'
        title = f"{name}: {100 * value:.0f} %" if known else f"{name}: not attempted"
        at = y if down else height - y
        parts.append(f'<circle cx="{x:.1f}" cy="{at:.1f}" r="{radius:.1f}" {fill}><title>{text(title)}</title></circle>')
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
