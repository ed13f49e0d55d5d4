"""Heat maps as SVG, and images embedded in the page."""

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from leo_agents.evaluation.goal_report import FloatArray
from leo_agents.evaluation.report_text import short_number
from leo_cli.html.charts import shortened, svg
from leo_cli.html.colors import ramp
from leo_cli.html.markup import text

_LEFT, _RIGHT, _BOTTOM, _WIDTH = 96.0, 10.0, 36.0, 480.0
_LABEL_HEIGHT = 13


def heat_map(rates: FloatArray, timesteps: npt.NDArray[np.int64], families: dict[str, int], description: str) -> str:
    """
    Draw the success rate of each goal over time.

    :param rates: success rates, ``[G, T]`` in the order to draw; NaN stays blank
    :param timesteps: environment steps, ``[T]``
    :param families: row of each family's first goal
    :param description: text alternative
    """
    inner = _WIDTH - _LEFT - _RIGHT
    height = float(np.clip(1.7 * len(rates), 150, 430))
    box = f'x="{_LEFT}" y="0" width="{inner}" height="{height}" preserveAspectRatio="none"'
    parts = [f'<image {box} class="pixels" href="{pixel_image(rates)}"/>', _family_labels(families, len(rates), height)]
    for fraction in (0.0, 0.5, 1.0):
        x = _LEFT + fraction * inner
        anchor = "end" if fraction == 1.0 else "middle"
        step = short_number(float(f"{fraction * timesteps[-1]:.2g}"))
        parts.append(f'<text x="{x:.1f}" y="{height + 16}" text-anchor="{anchor}">{step}</text>')
    x = _LEFT + inner / 2
    parts.append(f'<text x="{x}" y="{height + 32}" text-anchor="middle" class="label">environment steps</text>')
    return svg(_WIDTH, height + _BOTTOM, "".join(parts), description)


def _family_labels(families: dict[str, int], num_goals: int, height: float) -> str:
    """Draw lines between families, and the names of those with enough room."""
    parts = []
    last_label = -20.0
    stops = [*list(families.values())[1:], num_goals]
    for (family, start), stop in zip(families.items(), stops, strict=True):
        y, middle = height * start / num_goals, height * (start + stop) / 2 / num_goals
        if start:
            parts.append(f'<line x1="{_LEFT - 6}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="cut"/>')
        if middle - last_label >= _LABEL_HEIGHT:
            last_label = middle
            name = f"{text(shortened(family, 14))}<title>{text(family)}</title>"
            parts.append(f'<text x="{_LEFT - 8}" y="{middle + 4:.1f}" text-anchor="end">{name}</text>')
    return "".join(parts)


def pixel_image(values: FloatArray) -> str:
    """
    Draw values as an image with one pixel each.

    :param values: between 0 and 1, ``[rows, columns]``; NaN is transparent
    :return: data URI of a PNG image
    """
    levels = [ramp(level / 255) for level in range(256)]
    table = np.array([[int(color[start : start + 2], 16) for start in (1, 3, 5)] for color in levels], dtype=np.uint8)
    pixels = np.zeros((*values.shape, 4), dtype=np.uint8)
    known = ~np.isnan(values)
    pixels[known, :3] = table[np.round(255 * np.clip(values[known], 0.0, 1.0)).astype(int)]
    pixels[known, 3] = 255
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "png", optimize=True)
    return data_uri("image/png", target.getvalue())


def data_uri(mime_type: str, content: bytes) -> str:
    """
    Encode a file as a data URI, so that the page does not depend on other files.

    :param mime_type: type of the content
    :param content: content of the file
    :return: the URI
    """
    return f"data:{mime_type};base64,{base64.b64encode(content).decode('ascii')}"
