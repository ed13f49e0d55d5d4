"""The table of all goals, whole without JavaScript, sortable and filterable with it."""

from collections.abc import Sequence

import numpy as np

from leo_cli.html.colours import run_colour
from leo_cli.html.markup import card, element, percent, text
from leo_cli.results import Story


def goal_table(stories: Sequence[Story]) -> str:
    """
    :param stories: the runs, about the same goals
    :return: the section
    """
    first = stories[0].report
    family_of = {index: family for family, ids in first.families.items() for index in ids.tolist()}
    several_families = len(first.families) > 1
    header = [text("goal"), *([text("family")] if several_families else [])]
    for number, story in enumerate(stories):
        dot = f'<i class="dot" style="background:{run_colour(number)}"></i>' if len(stories) > 1 else ""
        label = f"{text(story.label)} " if len(stories) > 1 else ""
        header += [f"{dot}{label}success", f"{label}steps"]
    rows = []
    for index, name in enumerate(first.goal_names):
        family = family_of[index]
        cells = [_cell(text(name), name)] + ([_cell(text(family), family, "left")] if several_families else [])
        for number, story in enumerate(stories):
            cells += _run_cells(story, index, number)
        lost = all(story.report.successes[index] == 0 for story in stories) and any(
            story.report.attempts[index] for story in stories
        )
        rows.append(element("tr", "".join(cells), data_goal=name, data_family=family, data_lost=int(lost)))
    left = "left" if several_families else None
    titles = "".join(
        element("th", cell, scope="col", class_=left if place == 1 else None) for place, cell in enumerate(header)
    )
    whole = element("table", f"<thead><tr>{titles}</tr></thead><tbody>{chr(10).join(rows)}</tbody>", id="goals-table")
    note = (
        "Share of attempts that achieved the goal, with its 95 % interval (Wilson), and the mean number of steps that took. "
        "Goals that are true at the start are not attempted."
    )
    return card(
        "All goals", _controls(list(first.families)), element("div", whole, class_="scroll tall"), note=note, id_="goals"
    )


def _run_cells(story: Story, index: int, number: int) -> list[str]:
    report = story.report
    rate, steps = float(report.success_rate[index]), float(report.mean_steps[index])
    if np.isnan(rate):
        return [_cell('<span class="interval">true at the start</span>', ""), _cell("", "")]
    low, high = (float(ends[index]) for ends in report.interval())
    bar = f'<span class="bar"><i style="width:{100 * rate:.0f}%;background:{run_colour(number)}"></i></span>'
    shown = f'{percent(rate)} <span class="interval">{100 * low:.0f} to {100 * high:.0f}</span>{bar}'
    walked = _cell("-", "") if np.isnan(steps) else _cell(f"{steps:.1f}", f"{steps:.6g}")
    return [_cell(shown, f"{rate:.6g}"), walked]


def _cell(content: str, key: str, class_: str | None = None) -> str:
    return element("td", content, data_sort=key, class_=class_)


def _controls(families: Sequence[str]) -> str:
    options = "".join(element("option", text(family), value=family) for family in families)
    hidden = "hidden" if len(families) < 2 else None
    parts = [
        '<input type="search" id="filter" placeholder="Filter goals" aria-label="Filter goals">',
        element("select", f'<option value="">all families</option>{options}', id="family", aria_label="Family", hidden=hidden),
        '<label><input type="checkbox" id="lost"> never achieved</label>',
        '<output id="count" aria-live="polite"></output>',
    ]
    return element("div", "".join(parts), class_="controls")
