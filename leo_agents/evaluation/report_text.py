"""Reports as plain-text tables."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from leo_agents.evaluation.chart_data import family_rates
from leo_wrappers.validation import check_instance, shorten

if TYPE_CHECKING:
    from leo_agents.evaluation.goal_report import GoalReport

_NUM_WORST = 5


def report_text(report: "GoalReport") -> str:
    """Format a report as a table with one row per family and notes below it."""
    header = ["family", "goals", "attempts", "success", "95 % interval", "learned", "steps"]
    families = report.by_family()
    rows = [_family_row(family, part) for family, part in families.items()]
    if len(families) > 1:
        rows.append(_family_row("all", report))
    lines = [*align(header, rows), ""]
    if report.already_true.any():
        lines.append(f"achieved at the reset, not attempted: {report.already_true.sum()} episodes")
    if report.attempts.any():
        worst = report.worst(_NUM_WORST)
        counts = zip(worst.goal_names, worst.successes, worst.attempts, strict=True)
        lines.append("worst goals: " + ", ".join(f"{name} {won}/{tried}" for name, won, tried in counts))
    return "\n".join(lines)


def compare_reports(reports: "Mapping[str, GoalReport]") -> str:
    """
    Format a table that compares agents by family.

    :param reports: report of each agent by name, all on the same goals
    :return: a table with one column per agent
    """
    check_same_goals(reports)
    table = family_rates(reports, total="all")
    rows = [
        [family, *(_rate_with_interval(rate, *interval) for rate, interval in zip(rates, intervals, strict=True))]
        for family, rates, intervals in zip(table.families, table.rates.tolist(), table.intervals.tolist(), strict=True)
    ]
    rows.append(["learned", *(f"{report.num_learned()} of {(report.attempts > 0).sum()}" for report in reports.values())])
    achieved_by_all = np.all([report.successes > 0 for report in reports.values()], axis=0)
    note = "95 % intervals in brackets"
    if achieved_by_all.any():
        rows.append(["steps", *(f"{report.mean_steps[achieved_by_all].mean():.1f}" for report in reports.values())])
        note += f"; steps: mean over the {achieved_by_all.sum()} goals that every agent achieved"
    return "\n".join([*align(["success", *reports], rows), "", note])


def check_same_goals(reports: "Mapping[str, GoalReport]") -> None:
    """Raise an error unless there are reports by name and all have the same goals in the same order."""
    check_instance("reports", reports, Mapping, "pass {name: report}")
    for name, report in reports.items():
        check_instance("each name of a report", name, str, "pass {name: report}")
        if not hasattr(report, "goal_names"):
            raise TypeError(f"expected reports by name, got {shorten(report)} for {name!r}; pass those of evaluate_goals")
    if not reports:
        raise ValueError("expected at least one report to compare, got none; evaluate an agent first")
    first, *others = reports.values()
    for other in others:
        if other.goal_names != first.goal_names:
            raise ValueError(
                f"expected reports on the same goals in the same order, got {len(first)} and {len(other)} goals that differ; "
                "use report.subset(names) with the names that all reports share"
            )


def percent(rate: float, digits: int = 1) -> str:
    """Format a rate as a percentage with some digits, e.g. "12.5 %"; "-" for NaN."""
    return "-" if np.isnan(rate) else f"{100 * rate:.{digits}f} %"


def decimal(value: float) -> str:
    """Format a number with one decimal; "-" for NaN."""
    return "-" if np.isnan(value) else f"{value:.1f}"


def short_number(value: float, _: Any = None) -> str:
    """Format a number for an axis, in thousands, millions or billions, e.g. "2.5 M"."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


def align(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """
    Align a table: the first column to the left, the others to the right.

    :param header: titles of the columns
    :param rows: cells of each row
    :return: lines of the table
    """
    table = [header, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    lines = []
    for row in table:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    return lines


def _family_row(family: str, part: "GoalReport") -> list[str]:
    low, high = part.mean_interval()
    interval = f"{100 * low:.1f} to {100 * high:.1f}" if part.attempts.any() else "-"
    counts = [str(len(part)), str(part.attempts.sum())]
    return [family, *counts, percent(part.mean_success), interval, str(part.num_learned()), decimal(part.mean_num_steps)]


def _rate_with_interval(rate: float, low: float, high: float) -> str:
    return "-" if np.isnan(rate) else f"{percent(rate)} [{100 * low:.0f}, {100 * high:.0f}]"
