"""Learning curves with intervals over seeds."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from scipy import stats

matplotlib.use("Agg")


def interval(values: Sequence[float]) -> tuple[float, float]:
    """
    Return the mean over seeds and the half width of its 95 % interval (Student's t).

    :param values: one number per seed
    :return: mean and half width; the half width is infinite for a single seed
    """
    if len(values) < 2:
        return float(np.mean(values)), float("inf")
    return float(np.mean(values)), float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))


def draw_curves(
    rows: Sequence[Mapping[str, Any]],
    titles: Mapping[str, str],
    colors: Mapping[str, str],
    path: Path,
    columns: int | None = None,
) -> None:
    """
    Plot each quantity in a panel: the mean over seeds and its 95 % interval over environment steps. With two seeds, whose
    interval is thirteen times as wide as their distance, the band is their range.

    :param rows: evaluations with "algorithm", "seed", "steps" and the quantities, which lie in [0, 1]
    :param titles: panel titles by quantity
    :param colors: curve colors by algorithm
    :param path: the figure to write
    :param columns: panels per row; all by default
    """
    from matplotlib import pyplot as plt
    from matplotlib.ticker import EngFormatter

    columns = columns or len(titles)
    lines = -(-len(titles) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(5.5 * columns, 4.2 * lines), layout="constrained", squeeze=False)
    for axis in axes.flat[len(titles) :]:
        axis.set_axis_off()
    for axis, (quantity, title) in zip(axes.flat, titles.items(), strict=False):
        for algorithm, color in colors.items():
            _draw_curve(axis, [row for row in rows if row["algorithm"] == algorithm], quantity, algorithm, color)
        axis.set(xlabel="environment steps", title=title)
        axis.xaxis.set_major_formatter(EngFormatter())
        axis.set_ylim(bottom=0.0)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    # The legend is below all panels, where it covers no curve.
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fitting = max(1, int(5.5 * columns / (0.7 + 0.09 * max(map(len, labels)))))  # a letter is about 0.09 inches wide
    per_line = -(-len(labels) // -(-len(labels) // fitting))  # equally many in each line
    figure.legend(handles, labels, loc="outside lower center", ncols=per_line, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _draw_curve(axis: Any, rows: Sequence[Mapping[str, Any]], quantity: str, label: str, color: str) -> None:
    values: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        values[row["steps"]].append(row[quantity])
    if not values:
        return
    steps = sorted(values)
    axis.plot(steps, [np.mean(values[step]) for step in steps], color=color, label=label, linewidth=1.8)
    low, high = np.array([_band(values[step]) for step in steps]).T
    axis.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)


def _band(values: Sequence[float]) -> tuple[float, float]:
    """Return the lower and upper bound of the band around the mean."""
    if len(values) < 3:
        return min(values), max(values)
    mean, half = interval(values)
    return max(mean - half, 0.0), min(mean + half, 1.0)
