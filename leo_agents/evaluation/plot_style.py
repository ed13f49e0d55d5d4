"""What all pictures have in common: colours, and how a figure is made and saved."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PathLike = str | os.PathLike[str]

# Okabe and Ito's colours, which people with any common colour blindness can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C00", "#000000")
GREY, PALE = "#767676", "#d9d9d9"


def new_figure(width: float, height: float) -> "Figure":
    """
    A figure that belongs to no window and to no global state.

    :param width: in inches
    :param height: in inches
    :return: the figure
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plots need matplotlib; install it with: pip install "leo-rl[plots]"') from error
    return Figure(figsize=(width, height), layout="constrained")


def saved(figure: "Figure", path: PathLike | None) -> "Figure":
    """
    :param figure: the figure
    :param path: where to save it, if anywhere
    :return: the same figure
    """
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def tidy(axes: "Axes", grid: str) -> None:
    """
    Takes away what says nothing.

    :param axes: the axes
    :param grid: the axis, "x" or "y", whose values want lines to read them by
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color=PALE, linewidth=0.8)  # type: ignore[arg-type]
