"""Colors, creation and saving of figures."""

import os
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PathLike = str | os.PathLike[str]

# The Okabe-Ito palette, which stays distinguishable with any common color vision deficiency.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C00", "#000000")
GRAY, PALE = "#767676", "#d9d9d9"
COLOR_MAP = "cividis"
"""Perceptually uniform, and safe for color vision deficiencies."""


def run_color(number: int) -> str:
    """Return the color of the agent or run with this index; colors repeat when all are used."""
    return COLORS[number % len(COLORS)]


def new_figure(width: float, height: float) -> "Figure":
    """
    Create a figure outside pyplot, so that no global state changes and no display is needed.

    :param width: width in inches
    :param height: height in inches
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plots need matplotlib; install it with: pip install "leo-rl[plots]"') from error
    return Figure(figsize=(width, height), layout="constrained")


def saved(figure: "Figure", path: PathLike | None) -> "Figure":
    """Save a figure if a path is given, and return it."""
    if path is not None:
        suffix = os.path.splitext(path)[1].lower().lstrip(".")
        known = figure.canvas.get_supported_filetypes()
        if suffix and suffix not in known:
            raise ValueError(f"expected a suffix of {sorted(known)}, got {str(path)!r}; use e.g. .png")
        figure.savefig(path, dpi=150)
    return figure


def tidy(axes: "Axes", grid: Literal["x", "y"]) -> None:
    """Remove the frame at the top and right, and add grid lines for one axis."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color=PALE, linewidth=0.8)
