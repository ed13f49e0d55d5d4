"""Success maps of goals with 2D positions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from leo_agents.evaluation.goal_report import FloatArray, GoalReport, IntArray
from leo_agents.evaluation.plot_style import COLOR_MAP, GRAY, PALE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_COLUMNS = 4
_MAX_CELLS = 40_000


def plot_maps(reports: Mapping[str, GoalReport], title: str | None = None) -> "Figure":
    """
    Plot one map per report, in rows of up to four, with a common color scale. Cells without a goal, e.g. walls, stay blank.

    :param reports: report of each map by title; all have positions
    :param title: title of the figure
    :return: the figure
    """
    first = next(iter(reports.values()))
    num_columns = min(len(reports), _MAX_COLUMNS)
    num_rows = -(-len(reports) // num_columns)
    width, height = _map_size(first, largest=6.5 if len(reports) == 1 else 4.4)
    head = 0.4 if title else 0.0
    figure = new_figure(1.5 + (width + 0.4) * num_columns, 0.3 + head + (height + 0.9) * num_rows)
    if title:
        figure.suptitle(title)
    grid = figure.subplots(num_rows, num_columns, squeeze=False)
    for number, (axes, (title, report)) in enumerate(zip(grid.flat, reports.items(), strict=False)):
        artist = _map(axes, report)
        axes.set_title(title, fontsize=11)
        if number % num_columns:
            axes.set_ylabel("")
    for axes in list(grid.flat)[len(reports) :]:
        axes.set_visible(False)
    bar = figure.colorbar(artist, ax=grid, fraction=0.05, shrink=0.9, aspect=25, pad=0.02)
    bar.set_label("success, %")
    bar.ax.tick_params(labelsize=8, colors=GRAY)
    bar.outline.set_visible(False)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower right", frameon=False, fontsize=8)
    return figure


class Lattice(NamedTuple):
    """Grid cells of the goals: goal g is in row ``rows[g]`` and column ``columns[g]``, counted from the lower left."""

    columns: IntArray
    rows: IntArray
    low: FloatArray
    """Lower left corner of the grid."""
    step: FloatArray
    """Width and height of a cell."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return int(self.rows.max()) + 1, int(self.columns.max()) + 1


def lattice_of(positions: FloatArray) -> Lattice | None:
    """
    Find the regular grid that goals lie on.

    :param positions: positions of the goals, ``[G, 2]``
    :return: the grid; None if the goals lie on none, share cells, or fill only a small part of it
    """
    steps, indices = [], []
    for values in positions.T:
        gaps = np.diff(np.unique(np.round(values, 9)))
        step = float(gaps[gaps > 1e-6].min(initial=np.inf))
        step = 1.0 if np.isinf(step) else step
        index = (values - values.min()) / step
        if np.abs(index - np.round(index)).max() > 0.02:
            return None
        steps.append(step)
        indices.append(np.round(index).astype(np.int64))
    lattice = Lattice(indices[0], indices[1], positions.min(axis=0) - np.array(steps) / 2, np.array(steps))
    too_large = int(np.prod(lattice.shape)) > max(_MAX_CELLS, 20 * len(positions))
    distinct = len(np.unique(np.stack(indices), axis=1).T) == len(positions)
    return lattice if distinct and not too_large else None


def _map_size(report: GoalReport, largest: float) -> tuple[float, float]:
    """Return width and height in inches."""
    assert report.positions is not None
    lattice = lattice_of(report.positions)
    if lattice is None:
        sides, longest = np.ptp(report.positions, axis=0), largest
    else:
        sides = np.array(lattice.shape[::-1], dtype=np.float64)
        longest = float(np.clip(0.3 * sides.max(), 3.4, largest))
    width, height = longest * np.maximum(sides / max(sides.max(), 1e-9), 0.05)
    return max(float(width), 1.0), max(float(height), 1.0)


def _map(axes: "Axes", report: GoalReport) -> Any:
    """Draw a map and return the artist that the color bar describes."""
    from matplotlib.ticker import MaxNLocator

    assert report.positions is not None
    rates, untried = 100 * report.success_rate, report.attempts == 0
    lattice = lattice_of(report.positions)
    style: dict[str, Any] = {"cmap": COLOR_MAP, "vmin": 0.0, "vmax": 100.0}
    if lattice is None:
        size = float(np.clip(4_000.0 / len(report), 6, 120))
        x, y = report.positions[~untried].T
        artist: Any = axes.scatter(x, y, c=rates[~untried], s=size, marker="s", edgecolors="white", linewidths=0.4, **style)
        axes.set_aspect("equal")
    else:
        artist = _cells(axes, lattice, rates, style)
    if untried.any():
        style = {"color": "none", "markeredgecolor": GRAY, "markersize": 5}
        axes.plot(*report.positions[untried].T, "o", **style, label="achieved at the reset, not attempted")
    axes.set(xlabel=report.axes[0], ylabel=report.axes[1])
    if report.axes[1] == "row":
        axes.invert_yaxis()
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=report.axes == ("column", "row")))
    axes.tick_params(labelsize=8, colors=GRAY)
    axes.spines[:].set_color(PALE)
    return artist


def _cells(axes: "Axes", lattice: Lattice, rates: FloatArray, style: dict[str, Any]) -> Any:
    """Draw cells as squares whatever the units, with a thin line between cells with and without a goal."""
    from matplotlib.collections import LineCollection

    image = np.full(lattice.shape, np.nan)
    image[lattice.rows, lattice.columns] = rates
    high = lattice.low + lattice.step * lattice.shape[::-1]
    extent = (lattice.low[0], high[0], lattice.low[1], high[1])
    artist = axes.imshow(np.ma.masked_invalid(image), origin="lower", extent=extent, interpolation="nearest", **style)
    axes.set_aspect(lattice.step[0] / lattice.step[1])
    goals = np.zeros((image.shape[0] + 2, image.shape[1] + 2), dtype=bool)
    goals[lattice.rows + 1, lattice.columns + 1] = True
    # Borders between cells with and without a goal, in units of cells from the lower left.
    upright = [((x, y - 1), (x, y)) for y, x in np.argwhere(goals[:, 1:] != goals[:, :-1]).tolist()]
    level = [((x - 1, y), (x, y)) for y, x in np.argwhere(goals[1:] != goals[:-1]).tolist()]
    lines = lattice.low + lattice.step * np.array(upright + level)
    thin = float(np.clip(16.0 / max(image.shape), 0.2, 0.8))
    axes.add_collection(LineCollection(list(lines), colors=GRAY, linewidths=thin), autolim=False)
    return artist
