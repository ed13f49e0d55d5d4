"""The table of all goals, complete without JavaScript; a script adds sorting and filtering."""

from collections.abc import Sequence

import numpy as np

from leo_agents.evaluation.report_text import decimal, percent
from leo_cli.html.colors import run_color
from leo_cli.html.markup import card, element, text
from leo_cli.results import RunResults


def goals_section(results: Sequence[RunResults]) -> str:
    """Build the table of all goals from the results of the runs."""
    first = results[0].report
    show_family = len(first.families) > 1
    header = [text("goal"), *([text("family")] if show_family else [])]
    for number, result in enumerate(results):
        dot = f'<i class="dot" style="background:{run_color(number)}"></i>' if len(results) > 1 else ""
        label = f"{text(result.label)} " if len(results) > 1 else ""
        header += [f"{dot}{label}success", f"{label}steps"]
    attempted = np.any([result.report.attempts > 0 for result in results], axis=0)
    achieved = np.any([result.report.successes > 0 for result in results], axis=0)
    rows = []
    for index, (name, family) in enumerate(zip(first.goal_names, first.family_of, strict=True)):
        cells = [_cell(text(name), name)] + ([_cell(text(family), family, "left")] if show_family else [])
        for number, result in enumerate(results):
            cells += _run_cells(result, index, number)
        never = int(attempted[index] and not achieved[index])
        rows.append(element("tr", "".join(cells), data_goal=name, data_family=family, data_never=never))
    left = "left" if show_family else None
    titles = "".join(
        element("th", cell, scope="col", class_=left if column == 1 else None) for column, cell in enumerate(header)
    )
    table = element("table", f"<thead><tr>{titles}</tr></thead><tbody>{chr(10).join(rows)}</tbody>", id="goals-table")
    note = (
        "Success rate with its 95 % interval (Wilson), and mean number of steps to success. Goals that are achieved at the "
        "reset are not attempted."
    )
    scrollable = element("div", table, class_="scroll tall")
    return card("All goals", _controls(list(first.families)), scrollable, note=note, id_="goals")


def _run_cells(result: RunResults, index: int, number: int) -> list[str]:
    report = result.report
    rate, steps = float(report.success_rate[index]), float(report.mean_steps[index])
    if np.isnan(rate):
        return [_cell('<span class="interval">achieved at the reset</span>', ""), _cell("", "")]
    low, high = (float(bounds[index]) for bounds in report.interval())
    bar = f'<span class="bar"><i style="width:{100 * rate:.0f}%;background:{run_color(number)}"></i></span>'
    success = f'{percent(rate, 0)} <span class="interval">{100 * low:.0f} to {100 * high:.0f}</span>{bar}'
    return [_cell(success, f"{rate:.6g}"), _cell(decimal(steps), "" if np.isnan(steps) else f"{steps:.6g}")]


def _cell(content: str, sort_key: str, class_: str | None = None) -> str:
    return element("td", content, data_sort=sort_key, class_=class_)


def _controls(families: Sequence[str]) -> str:
    options = "".join(element("option", text(family), value=family) for family in families)
    hidden = "hidden" if len(families) < 2 else None
    parts = [
        '<input type="search" id="filter" placeholder="Filter goals" aria-label="Filter goals">',
        element("select", f'<option value="">all families</option>{options}', id="family", aria_label="Family", hidden=hidden),
        '<label><input type="checkbox" id="never"> never achieved</label>',
        '<output id="count" aria-live="polite"></output>',
    ]
    return element("div", "".join(parts), class_="controls")
