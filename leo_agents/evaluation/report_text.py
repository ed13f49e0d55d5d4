"""Reports as tables for the terminal: plain text, aligned."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from leo_agents.evaluation.goal_report import GoalReport

_WORST = 5


def report_text(report: "GoalReport") -> str:
    """
    A report as a table with a row for each family.

    :param report: the report
    :return: several lines
    """
    header = ["family", "goals", "attempts", "success", "95 % interval", "learned", "steps"]
    families = report.by_family()
    rows = [_family_row(family, part) for family, part in families.items()]
    if len(families) > 1:
        rows.append(_family_row("all", report))
    lines = [*align(header, rows), ""]
    if report.already_true.any():
        lines.append(f"already true at the reset, and not attempted: {report.already_true.sum()} episodes")
    if report.attempts.any():
        worst = report.worst(_WORST)
        counts = zip(worst.goal_names, worst.successes, worst.attempts, strict=True)
        lines.append("worst goals: " + ", ".join(f"{name} {won}/{tried}" for name, won, tried in counts))
    return "\n".join(lines)


def compare_reports(reports: "Mapping[str, GoalReport]") -> str:
    """
    Reports of several agents side by side, by family.

    :param reports: for each agent's name its report, all about the same goals
    :return: a table with a column for each agent
    """
    check_same_goals(reports)
    parts = {agent: report.by_family() for agent, report in reports.items()}
    families = next(iter(parts.values()))
    rows = [[family, *(_rate(parts[agent][family]) for agent in reports)] for family in families]
    if len(families) > 1:
        rows.append(["all", *(_rate(report) for report in reports.values())])
    rows.append(["learned", *(f"{report.num_learned()} of {(report.attempts > 0).sum()}" for report in reports.values())])
    reached = np.all([report.successes > 0 for report in reports.values()], axis=0)
    if reached.any():
        rows.append(["steps", *(f"{report.mean_steps[reached].mean():.1f}" for report in reports.values())])
    lines = align(["success", *reports], rows)
    note = f"in brackets 95 % intervals; steps: mean over the {reached.sum()} goals that every agent achieved"
    return "\n".join([*lines, "", note if reached.any() else "in brackets 95 % intervals"])


def check_same_goals(reports: "Mapping[str, GoalReport]") -> None:
    """
    Refuses reports that cannot be compared.

    :param reports: for each agent's name its report
    """
    if not reports:
        raise ValueError("expected at least one report to compare, got none")
    first, *others = reports.values()
    for other in others:
        if other.goal_names != first.goal_names:
            raise ValueError(
                f"expected reports about the same goals in one order, got {len(first)} and {len(other)} goals that differ; "
                "take report.subset(names) of each, with the names they share"
            )


def percent(rate: float) -> str:
    """
    :param rate: from 0 to 1, or NaN
    :return: for people
    """
    return "-" if np.isnan(rate) else f"{100 * rate:.1f} %"


def align(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """
    :param header: the columns' titles
    :param rows: the cells below
    :return: lines in which the first column is flush left and the others are flush right
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
    known = part.mean_steps[~np.isnan(part.mean_steps)]
    steps = f"{known.mean():.1f}" if len(known) else "-"
    counts = [str(len(part)), str(part.attempts.sum())]
    return [family, *counts, percent(part.mean_success), interval, str(part.num_learned()), steps]


def _rate(part: "GoalReport") -> str:
    if not part.attempts.any():
        return "-"
    low, high = part.mean_interval()
    return f"{percent(part.mean_success)} [{100 * low:.0f}, {100 * high:.0f}]"
