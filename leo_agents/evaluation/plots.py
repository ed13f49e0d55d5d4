"""Pictures of what was learned: success at every goal, comparisons and learning curves."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leo_agents.evaluation.curves import read_curve
from leo_agents.evaluation.goal_maps import plot_maps
from leo_agents.evaluation.goal_report import GoalReport
from leo_agents.evaluation.plot_style import COLOURS, GREY, PathLike, new_figure, saved, tidy
from leo_agents.evaluation.report_text import check_same_goals, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INTERVAL = "#00000090"
_ROW_HEIGHT, _BAR_WIDTH = 0.165, 1.9
_ONE_COLUMN = 40
_INTERVALS_LABEL = "success, %, with 95 % intervals"


def plot_report(report: GoalReport, path: PathLike | None = None, *, title: str | None = None) -> "Figure":
    """
    Success at every goal: a map where the goals are places in the plane, else a bar each with its 95 % interval.

    :param report: what :func:`~leo_agents.evaluation.evaluate.evaluate_goals` found
    :param path: save the picture here, in the format that the ending says
    :param title: the picture's title
    :return: the figure

    Example::

        >>> report = GoalReport(("a", "b"), [0, 1], attempts=[2, 2], already_true=[0, 0], steps=([3, 5], []))
        >>> figure = plot_report(report)
    """
    title = title or f"Success over {len(report)} goals: {percent(report.mean_success)}"
    figure = _goal_bars(report, title) if report.positions is None else plot_maps({title: report})
    return saved(figure, path)


def plot_comparison(reports: Mapping[str, GoalReport], path: PathLike | None = None, *, title: str | None = None) -> "Figure":
    """
    Reports of several agents side by side: maps where the goals are places in the plane, else families as groups of bars
    with 95 % intervals.

    :param reports: for each agent's name its report, all about the same goals
    :param path: save the picture here
    :param title: the picture's title
    :return: the figure
    """
    check_same_goals(reports)
    if any(report.positions is None for report in reports.values()):
        return saved(_family_bars(reports, title or "Success by family"), path)
    maps = {f"{agent}: {percent(report.mean_success)}": report for agent, report in reports.items()}
    return saved(plot_maps(maps, title), path)


def plot_learning_curve(
    csv_path: PathLike | Mapping[str, PathLike], path: PathLike | None = None, *, title: str | None = None
) -> "Figure":
    """
    Mean success over a training, how the worst and the best tenth of the goals fare, and how many goals are learned.

    :param csv_path: the table that :class:`~leo_agents.evaluation.callbacks.GoalEvalCallback` wrote, or several by name
    :param path: save the picture here
    :param title: the picture's title
    :return: the figure
    """
    tables = csv_path if isinstance(csv_path, Mapping) else {"mean over goals": csv_path}
    if not tables:
        raise ValueError("expected at least one table of evaluations to plot, got none")
    figure = new_figure(7.0, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    num_goals = 0
    for number, (name, table) in enumerate(tables.items()):
        curve, colour = read_curve(table), COLOURS[number % len(COLOURS)]
        num_goals = max(num_goals, curve.success_rate.shape[1])
        style: dict[str, Any] = {"color": colour, "linewidth": 2}
        if len(curve.timesteps) < 30:
            style |= {"marker": "o", "markersize": 3.5}
        upper.plot(curve.timesteps, 100 * curve.mean, label=name, **style)
        worst, best = 100 * curve.worst_decile, 100 * curve.best_decile
        if len(tables) == 1:
            label = "worst to best tenth of the goals"
            upper.fill_between(curve.timesteps, worst, best, color=colour, alpha=0.16, linewidth=0, label=label)
        else:  # several bands would hide each other
            upper.plot(curve.timesteps, worst, color=colour, linewidth=1, linestyle=":")
        lower.plot(curve.timesteps, curve.num_learned(), **style)
    if len(tables) > 1:
        upper.plot([], [], color=GREY, linewidth=1, linestyle=":", label="worst tenth of the goals")
    upper.set(ylabel="success, %", ylim=(-2, 102), title=title or "Success over the training")
    upper.legend(frameon=False, loc="best")
    lower.set(xlabel="environment steps", ylabel=f"learned, of {num_goals}")
    lower.set_xlim(left=0)
    lower.set_ylim(0, 1.05 * num_goals)
    lower.xaxis.set_major_formatter(short_number)
    lower.yaxis.get_major_locator().set_params(integer=True)
    for axes in (upper, lower):
        tidy(axes, grid="y")
    return saved(figure, path)


def short_number(value: float, _: Any = None) -> str:
    """
    :param value: a number
    :return: for an axis, in thousands, millions or billions
    """
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


_Slot = tuple[str, int | None]
"""A line of the bar plot: a goal's name and where it stands in the report, or a heading and None."""


def _goal_bars(report: GoalReport, title: str) -> "Figure":
    """A bar a goal, below the name of its family, in as many columns as make a picture no higher than wide."""
    families = _family_slots(report)
    longest = max(len(text) for slots in families for text, _ in slots)
    column_width = _BAR_WIDTH + 0.35 + 0.075 * (longest + 8)
    total = sum(map(len, families))
    num_columns = 1
    while total > _ONE_COLUMN and total / num_columns * _ROW_HEIGHT > num_columns * column_width:
        num_columns += 1
    columns = _into_columns(families, -(-total // num_columns) + 1)
    num_rows = max(map(len, columns))
    figure = new_figure(max(column_width * len(columns), 4.5), 1.1 + _ROW_HEIGHT * num_rows)
    figure.suptitle(title)
    figure.supxlabel(_INTERVALS_LABEL, fontsize=9)
    for axes, slots in zip(figure.subplots(1, len(columns), squeeze=False)[0], columns, strict=True):
        _bar_column(axes, report, slots)
        axes.set_ylim(num_rows - 0.4, -0.6)
    return figure


def _family_slots(report: GoalReport) -> list[list[_Slot]]:
    """For each family its heading and its goals, the best first; where no family has two goals, one list of all."""
    rates = np.nan_to_num(report.success_rate, nan=-1.0)
    best_first = np.argsort(-rates, kind="stable")
    if len(report.families) == len(report):
        return [[(report.goal_names[index], index) for index in best_first.tolist()]]
    result = []
    for family, ids in report.families.items():
        rate = percent(report.subset(ids).mean_success)
        slots: list[_Slot] = [(f"{family}: {rate}", None)]
        for index in best_first[np.isin(best_first, ids)].tolist():
            slots.append((report.goal_names[index].partition("/")[2] or family, index))
        result.append(slots)
    return result


def _into_columns(families: list[list[_Slot]], num_rows: int) -> list[list[_Slot]]:
    """Breaks the list of lines, never right after a heading; a family that goes on in the next column is named again."""
    columns: list[list[_Slot]] = [[]]
    for slots in families:
        heading = slots[0][0].rpartition(":")[0]
        for number, slot in enumerate(slots):
            room = num_rows - len(columns[-1]) - (slot[1] is None)
            if room < 1:
                columns.append([(f"{heading}, continued", None)] if heading and number > 0 else [])
            columns[-1].append(slot)
    return columns


def _bar_column(axes: "Axes", report: GoalReport, slots: list[_Slot]) -> None:
    ys = np.array([y for y, (_, index) in enumerate(slots) if index is not None])
    ids = np.array([index for _, index in slots if index is not None])
    low, high = (100 * end[ids] for end in report.interval())
    tried = report.attempts[ids] > 0
    family_colour = {family: COLOURS[number % len(COLOURS)] for number, family in enumerate(report.families)}
    shades = [family_colour[report.goal_names[index].split("/", 1)[0]] for index in ids]
    if len(report.families) == len(report):
        shades = [COLOURS[0]] * len(ids)
    axes.barh(ys, np.nan_to_num(100 * report.success_rate[ids]), height=0.72, color=shades)
    axes.hlines(ys[tried], low[tried], high[tried], color=_INTERVAL, linewidth=1.1)
    for y in ys[~tried]:
        axes.text(1, y, "not attempted", va="center", fontsize=6, color=GREY)
    axes.set_yticks(range(len(slots)), [text for text, _ in slots], fontsize=7.5)
    for label, (_, index) in zip(axes.get_yticklabels(), slots, strict=True):
        label.set_fontweight("bold" if index is None else "normal")
    axes.set(xlim=(0, 100), xticks=[0, 50, 100])
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8)
    tidy(axes, grid="x")
    axes.spines["left"].set_visible(False)


def _family_bars(reports: Mapping[str, GoalReport], title: str) -> "Figure":
    parts = {agent: report.by_family() for agent, report in reports.items()}
    families = list(next(iter(parts.values())))
    if len(families) > 1:
        parts = {agent: {**part, "all goals": reports[agent]} for agent, part in parts.items()}
        families.append("all goals")
    figure = new_figure(7.0, 1.1 + len(families) * (0.2 + 0.2 * len(reports)))
    axes = figure.subplots()
    height = 0.8 / len(reports)
    for number, (agent, part) in enumerate(parts.items()):
        ys = np.arange(len(families)) + (number - (len(reports) - 1) / 2) * height
        rates = 100 * np.array([part[family].mean_success for family in families])
        ends = 100 * np.array([part[family].mean_interval() for family in families])
        axes.barh(ys, np.nan_to_num(rates), height=0.9 * height, color=COLOURS[number % len(COLOURS)], label=agent)
        known = ~np.isnan(rates)
        axes.hlines(ys[known], ends[known, 0], ends[known, 1], color=_INTERVAL, linewidth=1.4)
    labels = [f"{family} ({len(next(iter(parts.values()))[family])})" for family in families]
    axes.set_yticks(range(len(families)), labels)
    if len(families) > 1:
        axes.axhline(len(families) - 1.5, color=GREY, linewidth=0.8)
    axes.set(xlim=(0, 100), ylim=(len(families) - 0.4, -0.6), xlabel=f"mean {_INTERVALS_LABEL}", title=title)
    axes.tick_params(axis="y", length=0)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    tidy(axes, grid="x")
    return figure
