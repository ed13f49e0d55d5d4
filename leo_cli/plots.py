"""Pictures of runs: curves in their bands, the end result, families, and goals over time."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leo_agents.evaluation.goal_report import IntArray
from leo_agents.evaluation.plot_style import COLOURS, GREY, new_figure, tidy
from leo_agents.evaluation.plots import short_number
from leo_cli.results import Story

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BAND = 0.18


def plot_curves(stories: Sequence[Story]) -> "Figure":
    """
    Mean success over the training, with 95 % stratified bootstrap intervals over seeds, and how many goals are learned.

    :param stories: the runs
    :return: the figure
    """
    figure = new_figure(7.0, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    for number, story in enumerate(stories):
        colour = COLOURS[number % len(COLOURS)]
        label = f"{story.label} ({len(story.seeds)} seed{'s' * (len(story.seeds) > 1)})"
        upper.plot(story.timesteps, 100 * story.curve, color=colour, linewidth=2, label=label)
        if story.curve_interval is not None:
            upper.fill_between(story.timesteps, *(100 * story.curve_interval), color=colour, alpha=_BAND, linewidth=0)
        lower.plot(story.timesteps, story.learned_curve, color=colour, linewidth=2)
    num_goals = len(stories[0].report)
    upper.set(ylabel="success, %", ylim=(-2, 102), title="Success over the training")
    upper.legend(frameon=False, loc="best")
    lower.set(xlabel="environment steps", ylabel=f"learned, of {num_goals}", ylim=(0, 1.05 * num_goals))
    lower.set_xlim(left=0)
    lower.xaxis.set_major_formatter(short_number)
    for axes in (upper, lower):
        tidy(axes, grid="y")
    return figure


def plot_final(stories: Sequence[Story]) -> "Figure":
    """
    Interquartile mean and mean of success in the end, with 95 % stratified bootstrap intervals where there are seeds.

    :param stories: the runs
    :return: the figure
    """
    figure = new_figure(7.0, 1.2 + 0.45 * len(stories))
    panels = figure.subplots(1, 2, sharey=True)
    ys = np.arange(len(stories))
    for axes, title in zip(panels, ("interquartile mean", "mean"), strict=True):
        for y, story in zip(ys, stories, strict=True):
            is_mean = title == "mean"
            value = story.mean_success if is_mean else story.iqm
            ends = story.mean_interval if is_mean else story.iqm_interval
            axes.plot(100 * value, y, "o", color=COLOURS[y % len(COLOURS)], markersize=7)
            if ends is not None:
                axes.hlines(y, 100 * ends[0], 100 * ends[1], color=COLOURS[y % len(COLOURS)], linewidth=3, alpha=0.6)
        axes.set(xlim=(-2, 102), ylim=(len(stories) - 0.5, -0.5), xlabel="success, %", title=title)
        tidy(axes, grid="x")
    panels[0].set_yticks(ys, [story.label for story in stories])
    return figure


def plot_families(stories: Sequence[Story]) -> "Figure":
    """
    Mean success in the end by family of goals.

    :param stories: the runs
    :return: the figure
    """
    families = list(stories[0].report.families)
    figure = new_figure(7.0, 1.2 + len(families) * (0.2 + 0.2 * len(stories)))
    axes = figure.subplots()
    height = 0.8 / len(stories)
    for number, story in enumerate(stories):
        parts = story.report.by_family()
        ys = np.arange(len(families)) + (number - (len(stories) - 1) / 2) * height
        rates = 100 * np.array([parts[family].mean_success for family in families])
        ends = 100 * np.array([parts[family].mean_interval() for family in families])
        axes.barh(ys, np.nan_to_num(rates), 0.9 * height, color=COLOURS[number % len(COLOURS)], label=story.label)
        axes.hlines(ys, ends[:, 0], ends[:, 1], color="#00000090", linewidth=1.2)
    axes.set_yticks(range(len(families)), [f"{family} ({len(stories[0].report.families[family])})" for family in families])
    axes.set(
        xlim=(0, 100), ylim=(len(families) - 0.4, -0.6), xlabel="success, %, with 95 % intervals", title="Success by family"
    )
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    axes.tick_params(axis="y", length=0)
    tidy(axes, grid="x")
    return figure


def plot_heat(stories: Sequence[Story]) -> "Figure":
    """
    Success at every goal over time, a panel a run, in the same order of goals: by family, the earliest learned on top.

    :param stories: the runs
    :return: the figure
    """
    order, starts = goal_order(stories)
    width = 1.8 + 3.2 * len(stories)
    figure = new_figure(width, float(np.clip(0.035 * len(order), 2.5, 9.0)))
    panels = figure.subplots(1, len(stories), sharey=True, squeeze=False)[0]
    picture = None
    for axes, story in zip(panels, stories, strict=True):
        heat = 100 * story.heat[:, order].T
        if heat.size:
            extent = (0.0, float(story.timesteps[-1]), len(order), 0.0)
            style = {"cmap": "cividis", "vmin": 0, "vmax": 100, "interpolation": "nearest"}
            picture = axes.imshow(np.ma.masked_invalid(heat), aspect="auto", extent=extent, **style)
        for start in list(starts.values())[1:]:
            axes.axhline(start, color="white", linewidth=1)
        axes.set(title=story.label, xlabel="environment steps")
        axes.xaxis.set_major_formatter(short_number)
        axes.tick_params(length=2, labelsize=8, colors=GREY)
    panels[0].set_yticks(list(starts.values()), list(starts), va="top")
    if picture is not None:
        figure.colorbar(picture, ax=panels, shrink=0.9, aspect=30, label="success, %")
    return figure


def goal_order(stories: Sequence[Story]) -> tuple[IntArray, dict[str, int]]:
    """
    :param stories: the runs
    :return: the goals, family by family, within each the one with the most success over time first; where families begin
    """
    final = np.sum([np.nan_to_num(story.report.success_rate) for story in stories], axis=0)
    heats = [story.heat for story in stories if len(story.timesteps)]
    # What was learned early comes first; where that is equal, what is done best in the end.
    total = np.sum([np.nan_to_num(heat).mean(axis=0) for heat in heats], axis=0) + 1e-3 * final
    order: list[int] = []
    starts = {}
    for family, ids in stories[0].report.families.items():
        starts[family] = len(order)
        order += ids[np.argsort(-total[ids], kind="stable")].tolist()
    return np.array(order), starts


PLOTS: dict[str, Callable[[Sequence[Story]], "Figure"]] = {
    "curves.png": plot_curves,
    "final.png": plot_final,
    "families.png": plot_families,
    "goals_over_time.png": plot_heat,
}


def write_plots(stories: Sequence[Story], folder: Path) -> list[Path]:
    """
    :param stories: the runs
    :param folder: where to
    :return: the pictures
    """
    paths = []
    for name, plot in PLOTS.items():
        paths.append(folder / name)
        plot(stories).savefig(paths[-1], dpi=150)
    return paths
