"""Heat maps as SVG, and pictures inside of the page."""

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from leo_agents.evaluation.goal_report import FloatArray
from leo_agents.evaluation.plots import short_number
from leo_cli.html.charts import shortened, svg
from leo_cli.html.colours import ramp
from leo_cli.html.markup import text


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
    pixels = picture(heat)
    box = f'x="{left}" y="0" width="{inner}" height="{height}" preserveAspectRatio="none"'
    parts = [f'<image {box} class="pixels" href="{pixels}"/>']
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


def picture(values: FloatArray) -> str:
    """
    :param values: from 0 to 1, NaN for none, ``[rows, columns]``
    :return: the address of a picture with a pixel each, transparent where there is none
    """
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
