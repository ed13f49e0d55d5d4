"""Figures of runs. Each function takes the results of the runs, with the same goals."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leo_agents.evaluation.chart_data import family_rates
from leo_agents.evaluation.plot_style import COLOR_MAP, GRAY, new_figure, run_color, tidy
from leo_agents.evaluation.plots import curve_figure, family_figure
from leo_agents.evaluation.report_text import short_number
from leo_cli.outputs import check_output
from leo_cli.results import RunResults, goal_order

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_curves(results: Sequence[RunResults]) -> "Figure":
    """Plot mean success over the training, with 95 % stratified bootstrap intervals over seeds, and the learned goals."""
    curves = [replace(result.success_curve, label=f"{result.label} ({result.num_seeds_text})") for result in results]
    return curve_figure(curves, len(results[0].report))


def plot_final_success(results: Sequence[RunResults]) -> "Figure":
    """Plot interquartile mean and mean of the final success rate, with 95 % stratified bootstrap intervals over seeds."""
    figure = new_figure(7.0, 1.2 + 0.45 * len(results))
    panels = figure.subplots(1, 2, sharey=True)
    statistics = {
        "interquartile mean": [(result.iqm, result.iqm_interval) for result in results],
        "mean": [(result.mean_success, result.mean_interval) for result in results],
    }
    for axes, (title, values) in zip(panels, statistics.items(), strict=True):
        for y, (value, interval) in enumerate(values):
            axes.plot(100 * value, y, "o", color=run_color(y), markersize=7)
            if interval is not None:
                axes.hlines(y, 100 * interval[0], 100 * interval[1], color=run_color(y), linewidth=3, alpha=0.6)
        axes.set(xlim=(-2, 102), ylim=(len(results) - 0.5, -0.5), xlabel="success, %", title=title)
        tidy(axes, grid="x")
    panels[0].set_yticks(range(len(results)), [result.label for result in results])
    return figure


def plot_families(results: Sequence[RunResults]) -> "Figure":
    """Plot the final mean success rate of each family of goals."""
    return family_figure(family_rates({result.label: result.report for result in results}), "Success by family")


def plot_success_over_time(results: Sequence[RunResults]) -> "Figure":
    """Plot the success rate of each goal over time as one heat map per run, with goals ordered by :func:`goal_order`."""
    order, starts = goal_order(results)
    width = 1.8 + 3.2 * len(results)
    figure = new_figure(width, float(np.clip(0.035 * len(order), 2.5, 9.0)))
    panels = figure.subplots(1, len(results), sharey=True, squeeze=False)[0]
    image = None
    for axes, result in zip(panels, results, strict=True):
        rates = 100 * result.success_over_time[:, order].T
        if rates.size:
            extent = (0.0, float(result.timesteps[-1]), len(order), 0.0)
            style = {"cmap": COLOR_MAP, "vmin": 0, "vmax": 100, "interpolation": "nearest"}
            image = axes.imshow(np.ma.masked_invalid(rates), aspect="auto", extent=extent, **style)
        for start in list(starts.values())[1:]:
            axes.axhline(start, color="white", linewidth=1)
        axes.set(title=result.label, xlabel="environment steps")
        axes.xaxis.set_major_formatter(short_number)
        axes.tick_params(length=2, labelsize=8, colors=GRAY)
    panels[0].set_yticks(list(starts.values()), list(starts), va="top")
    if image is not None:
        figure.colorbar(image, ax=panels, shrink=0.9, aspect=30, label="success, %")
    return figure


PLOTS: dict[str, Callable[[Sequence[RunResults]], "Figure"]] = {
    "curves.png": plot_curves,
    "final.png": plot_final_success,
    "families.png": plot_families,
    "goals_over_time.png": plot_success_over_time,
}


def write_plots(results: Sequence[RunResults], folder: Path) -> list[Path]:
    """
    Write all figures as PNG files.

    :param results: results of the runs
    :param folder: existing folder to write to
    :return: paths of the files
    """
    paths = [check_output(folder / name) for name in PLOTS]
    for path, plot in zip(paths, PLOTS.values(), strict=True):
        plot(results).savefig(path, dpi=150)
    return paths
