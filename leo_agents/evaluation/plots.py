"""Figures of success per goal, comparisons of agents and learning curves."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from leo_agents.evaluation.chart_data import FamilyRates, SuccessCurve, family_rates
from leo_agents.evaluation.curves import read_curve
from leo_agents.evaluation.goal_maps import plot_maps
from leo_agents.evaluation.goal_report import GoalReport
from leo_agents.evaluation.plot_style import COLORS, GRAY, PathLike, new_figure, run_color, saved, tidy
from leo_agents.evaluation.report_text import check_same_goals, percent, short_number
from leo_wrappers.validation import check_instance, check_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INTERVAL_COLOR = "#00000090"
_ROW_HEIGHT, _BAR_WIDTH = 0.165, 1.9
_MAX_SINGLE_COLUMN = 40
_MAX_MARKERS = 30
_INTERVALS_LABEL = "success, %, with 95 % intervals"

_Row = tuple[str, int | None]
"""A row of the bar plot: a goal's name and its index in the report, or a heading and None."""


def plot_report(report: GoalReport, path: PathLike | None = None, *, title: str | None = None) -> "Figure":
    """
    Plot the success rate of each goal: a map if the goals have 2D positions, else one bar per goal with its 95 % interval.

    :param report: result of :func:`~leo_agents.evaluation.evaluate.evaluate_goals`
    :param path: file to save the figure to; the suffix selects the format
    :param title: title of the figure

    Example::

        >>> report = GoalReport(("a", "b"), [0, 1], attempts=[2, 2], already_true=[0, 0], steps=([3, 5], []))
        >>> figure = plot_report(report)
    """
    check_instance("report", report, GoalReport, "pass the result of evaluate_goals")
    _check_texts(path, title)
    title = title or f"Success over {len(report)} goals: {percent(report.mean_success)}"
    figure = _goal_bars(report, title) if report.positions is None else plot_maps({title: report})
    return saved(figure, path)


def plot_comparison(reports: Mapping[str, GoalReport], path: PathLike | None = None, *, title: str | None = None) -> "Figure":
    """
    Plot reports of several agents side by side: maps if the goals have 2D positions, else bars by family with 95 % intervals.

    :param reports: report of each agent by name, all on the same goals
    :param path: file to save the figure to
    :param title: title of the figure
    """
    check_same_goals(reports)
    _check_texts(path, title)
    if all(report.positions is not None for report in reports.values()):
        maps = {f"{agent}: {percent(report.mean_success)}": report for agent, report in reports.items()}
        return saved(plot_maps(maps, title), path)
    rates = family_rates(reports, total="all goals")
    figure = family_figure(rates, title or "Success by family")
    if len(rates.families) > 1:  # the last row is the total
        figure.axes[0].axhline(len(rates.families) - 1.5, color=GRAY, linewidth=0.8)
    return saved(figure, path)


def plot_learning_curve(
    csv_path: PathLike | Mapping[str, PathLike], path: PathLike | None = None, *, title: str | None = None
) -> "Figure":
    """
    Plot the mean success rate over a training, the worst and best tenth of the goals, and the number of learned goals.

    :param csv_path: file written by :class:`~leo_agents.evaluation.callbacks.GoalEvalCallback`, or several such files by name
    :param path: file to save the figure to
    :param title: title of the figure
    """
    _check_texts(path, title)
    tables = csv_path if isinstance(csv_path, Mapping) else {"mean over goals": csv_path}
    if not tables:
        raise ValueError("expected at least one table of evaluations to plot, got none; pass the callback's csv_path")
    for label in tables:
        check_instance("each name of a curve", label, str, "pass {name: path}")
    curves = {label: read_curve(table) for label, table in tables.items()}
    single = len(tables) == 1
    figure = curve_figure(
        [curve.success_curve(label) for label, curve in curves.items()],
        max(curve.success_rate.shape[1] for curve in curves.values()),
        title=title,
        band_label="worst to best tenth of the goals" if single else "worst tenth of the goals",
        fill=single,  # several bands would hide each other
        markers=True,
    )
    return saved(figure, path)


def curve_figure(
    curves: Sequence[SuccessCurve],
    num_goals: int,
    *,
    title: str | None = None,
    band_label: str | None = None,
    fill: bool = True,
    markers: bool = False,
) -> "Figure":
    """
    Draw mean success rates over time, and below them the number of learned goals.

    :param curves: the curves
    :param num_goals: number of goals
    :param title: title of the figure
    :param band_label: label of the bands in the legend
    :param fill: fill the bands; otherwise draw only their lower bounds, as dotted lines
    :param markers: mark each evaluation of short curves
    """
    figure = new_figure(7.0, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    for number, curve in enumerate(curves):
        color = run_color(number)
        style: dict[str, Any] = {"color": color, "linewidth": 2}
        if markers and len(curve.timesteps) < _MAX_MARKERS:
            style |= {"marker": "o", "markersize": 3.5}
        upper.plot(curve.timesteps, 100 * curve.success, label=curve.label, **style)
        if curve.band is not None and fill:
            band = 100 * curve.band
            upper.fill_between(curve.timesteps, *band, color=color, alpha=0.17, linewidth=0, label=band_label)
        elif curve.band is not None:
            upper.plot(curve.timesteps, 100 * curve.band[0], color=color, linewidth=1, linestyle=":")
        lower.plot(curve.timesteps, curve.num_learned, **style)
    if not fill:
        upper.plot([], [], color=GRAY, linewidth=1, linestyle=":", label=band_label)
    upper.set(ylabel="success, %", ylim=(-2, 102), title=title or "Success over the training")
    upper.legend(frameon=False, loc="best")
    lower.set(xlabel="environment steps", ylabel=f"learned, of {num_goals}", ylim=(0, 1.05 * num_goals))
    lower.set_xlim(left=0)
    lower.xaxis.set_major_formatter(short_number)
    lower.yaxis.get_major_locator().set_params(integer=True)
    for axes in (upper, lower):
        tidy(axes, grid="y")
    return figure


def family_figure(rates: FamilyRates, title: str) -> "Figure":
    """
    Draw success rates by family as groups of horizontal bars with 95 % intervals.

    :param rates: success rates of each family and agent
    :param title: title of the figure
    """
    num_families, num_agents = rates.rates.shape
    figure = new_figure(7.0, 1.1 + num_families * (0.2 + 0.2 * num_agents))
    axes = figure.subplots()
    height = 0.8 / num_agents
    for number, agent in enumerate(rates.agents):
        ys = np.arange(num_families) + (number - (num_agents - 1) / 2) * height
        values, bounds = 100 * rates.rates[:, number], 100 * rates.intervals[:, number]
        axes.barh(ys, np.nan_to_num(values), height=0.9 * height, color=run_color(number), label=agent)
        known = ~np.isnan(values)
        axes.hlines(ys[known], bounds[known, 0], bounds[known, 1], color=_INTERVAL_COLOR, linewidth=1.4)
    axes.set_yticks(range(num_families), rates.labels)
    axes.set(xlim=(0, 100), ylim=(num_families - 0.4, -0.6), xlabel=f"mean {_INTERVALS_LABEL}", title=title)
    axes.tick_params(axis="y", length=0)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    tidy(axes, grid="x")
    return figure


def _check_texts(path: PathLike | None, title: str | None) -> None:
    """Check arguments before a figure is drawn rather than when it is saved."""
    if path is not None:
        check_path("path", path)
    if title is not None:
        check_instance("title", title, str, "pass a text")


def _goal_bars(report: GoalReport, title: str) -> "Figure":
    """Draw one bar per goal, grouped by family, in as many columns as make the figure no higher than wide."""
    families = _family_rows(report)
    longest = max(len(text) for rows in families for text, _ in rows)
    column_width = _BAR_WIDTH + 0.35 + 0.075 * (longest + 8)
    total = sum(map(len, families))
    num_columns = 1
    while total > _MAX_SINGLE_COLUMN and total / num_columns * _ROW_HEIGHT > num_columns * column_width:
        num_columns += 1
    columns = _into_columns(families, -(-total // num_columns) + 1)
    num_rows = max(map(len, columns))
    figure = new_figure(max(column_width * len(columns), 4.5), 1.1 + _ROW_HEIGHT * num_rows)
    figure.suptitle(title)
    figure.supxlabel(_INTERVALS_LABEL, fontsize=9)
    for axes, rows in zip(figure.subplots(1, len(columns), squeeze=False)[0], columns, strict=True):
        _bar_column(axes, report, rows)
        axes.set_ylim(num_rows - 0.4, -0.6)
    return figure


def _family_rows(report: GoalReport) -> list[list[_Row]]:
    """List each family's rows, its heading, then its goals from best to worst; one flat list if all families have one goal."""
    rates = np.nan_to_num(report.success_rate, nan=-1.0)
    best_first = np.argsort(-rates, kind="stable")
    if len(report.families) == len(report):
        return [[(report.goal_names[index], index) for index in best_first.tolist()]]
    result = []
    for family, ids in report.families.items():
        rate = percent(report.subset(ids).mean_success)
        rows: list[_Row] = [(f"{family}: {rate}", None)]
        for index in best_first[np.isin(best_first, ids)].tolist():
            rows.append((report.goal_names[index].partition("/")[2] or family, index))
        result.append(rows)
    return result


def _into_columns(families: list[list[_Row]], num_rows: int) -> list[list[_Row]]:
    """Split the rows into columns, never right after a heading; repeat the heading of a family that is split."""
    columns: list[list[_Row]] = [[]]
    for rows in families:
        heading = rows[0][0].rpartition(":")[0]
        for number, row in enumerate(rows):
            room = num_rows - len(columns[-1]) - (row[1] is None)
            if room < 1:
                columns.append([(f"{heading}, continued", None)] if heading and number > 0 else [])
            columns[-1].append(row)
    return columns


def _bar_column(axes: "Axes", report: GoalReport, rows: list[_Row]) -> None:
    ys = np.array([y for y, (_, index) in enumerate(rows) if index is not None])
    ids = np.array([index for _, index in rows if index is not None])
    low, high = (100 * bound[ids] for bound in report.interval())
    tried = report.attempts[ids] > 0
    family_color = {family: run_color(number) for number, family in enumerate(report.families)}
    colors = [family_color[report.family_of[index]] for index in ids]
    if len(report.families) == len(report):
        colors = [COLORS[0]] * len(ids)
    axes.barh(ys, np.nan_to_num(100 * report.success_rate[ids]), height=0.72, color=colors)
    axes.hlines(ys[tried], low[tried], high[tried], color=_INTERVAL_COLOR, linewidth=1.1)
    for y in ys[~tried]:
        axes.text(1, y, "not attempted", va="center", fontsize=6, color=GRAY)
    axes.set_yticks(range(len(rows)), [text for text, _ in rows], fontsize=7.5)
    for label, (_, index) in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if index is None else "normal")
    axes.set(xlim=(0, 100), xticks=[0, 50, 100])
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    tidy(axes, grid="x")
    axes.spines["left"].set_visible(False)
