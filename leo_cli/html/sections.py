"""The sections of a report."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import yaml

from leo_agents.evaluation.goal_report import GoalReport
from leo_cli.html.charts import Line, bar_chart, legend, line_chart
from leo_cli.html.colours import ramp_legend, run_colour
from leo_cli.html.maps import heat_map
from leo_cli.html.markup import card, element, percent, table, text, with_interval
from leo_cli.plots import goal_order
from leo_cli.results import Story

_LISTED = 30
_HARDEST = 10


def tiles(stories: Sequence[Story]) -> str:
    """
    :param stories: the runs
    :return: the few numbers to look at first, of the only run or of the best
    """
    best = max(stories, key=lambda story: np.nan_to_num(story.mean_success))
    report = best.report
    attempted = int((report.attempts > 0).sum())
    whose = f" ({best.label})" if len(stories) > 1 else ""
    low, high = best.mean_interval or report.mean_interval()
    items = [
        (percent(best.mean_success), f"mean success{whose}, 95 % interval {100 * low:.0f} to {100 * high:.0f}"),
        (f"{report.num_learned()} of {attempted}", "goals learned: achieved at least half of the time"),
        (str(len(best.never_achieved)), "goals never achieved in the end"),
        (f"{best.steps:,}", f"environment steps, {len(best.seeds)} seed{'s' * (len(best.seeds) > 1)}"),
    ]
    boxes = [f'<div class="tile"><b>{text(number)}</b><span>{text(what)}</span></div>' for number, what in items]
    return element("div", "".join(boxes), class_="tiles")


def comparison(stories: Sequence[Story]) -> str:
    """
    :param stories: the runs
    :return: a line each
    """
    header = ["run", "steps", "seeds", "mean success", "interquartile mean", "learned", "never achieved", "steps to success"]
    rows = []
    for number, story in enumerate(stories):
        report = story.report
        known = report.mean_steps[~np.isnan(report.mean_steps)]
        rows.append(
            [
                f'<i class="dot" style="background:{run_colour(number)}"></i>{text(story.label)}',
                f"{story.steps:,}",
                str(len(story.seeds)),
                with_interval(story.mean_success, story.mean_interval),
                with_interval(story.iqm, story.iqm_interval),
                str(report.num_learned()),
                str(len(story.never_achieved)),
                f"{known.mean():.1f}" if len(known) else "-",
            ]
        )
    note = "Intervals: 95 % stratified bootstrap over seeds; a single seed says nothing about others, and has none."
    return card("Runs" if len(stories) > 1 else "In the end", table(map(text, header), rows), note=note, id_="runs")


def learning(stories: Sequence[Story]) -> str:
    """
    :param stories: the runs
    :return: curves over the training; nothing where no evaluation took place
    """
    told = [story for story in stories if len(story.timesteps)]
    if len(told) < len(stories):
        return ""
    means, learned = [], []
    for story in told:
        band = None if story.curve_interval is None else 100 * story.curve_interval
        xs = story.timesteps.astype(np.float64)
        means.append(Line(story.label, xs, 100 * story.curve, band))
        learned.append(Line(story.label, xs, story.learned_curve))
    goals = float(len(told[0].report))
    charts = {
        "mean success over all goals": line_chart(means, limit=100.0, unit=" %", description="Success over the training"),
        "goals learned": line_chart(learned, limit=goals, unit="", description="Goals learned over the training"),
    }
    figures = [f"<figure>{chart}<figcaption>{text(title)}</figcaption></figure>" for title, chart in charts.items()]
    banded = any(story.curve_interval is not None for story in told)
    note = "Every goal is tried at each evaluation." + (" Bands: 95 % stratified bootstrap over seeds." if banded else "")
    parts = legend([story.label for story in told]) + element("div", "".join(figures), class_="columns")
    return card("Learning", parts, note=note, id_="learning")


def families(stories: Sequence[Story]) -> str:
    """
    :param stories: the runs
    :return: success by family; nothing where there is one
    """
    names = list(stories[0].report.families)
    if len(names) < 2 or len(names) == len(stories[0].report):
        return ""
    parts = [story.report.by_family() for story in stories]
    values = np.array([[part[name].mean_success for part in parts] for name in names])
    ends = np.array([[part[name].mean_interval() for part in parts] for name in names])
    groups = [f"{name} ({len(parts[0][name])})" for name in names]
    labels = [story.label for story in stories]
    chart = bar_chart(groups, labels, values, ends, "Success by family")
    note = "Mean success in the end, with 95 % intervals; the number of goals in brackets."
    return card("Families of goals", legend(labels), element("div", chart, class_="columns"), note=note, id_="families")


def heat_maps(stories: Sequence[Story]) -> str:
    """
    :param stories: the runs
    :return: success at every goal over time
    """
    order, starts = goal_order(stories)
    figures = []
    for story in stories:
        if not len(story.timesteps):
            continue
        picture = heat_map(story.heat[:, order].T, story.timesteps, starts, f"Success at every goal over time, {story.label}")
        caption = f"<figcaption><b>{text(story.label)}</b></figcaption>" if len(stories) > 1 else ""
        figures.append(f"<figure>{picture}{caption}</figure>")
    if not figures:
        return ""
    note = "A row for each goal, by family, those with the most success over time on top; the same order for every run."
    grid = element("div", "".join(figures), class_="columns")
    return card("Goals over time", grid, ramp_legend("0 % success", "100 %"), note=note, id_="time")


def hardest(stories: Sequence[Story]) -> str:
    """
    :param stories: the runs
    :return: the goals that each run achieves least, and those it never achieves
    """
    parts = []
    for story in stories:
        report = story.report
        lost = story.never_achieved
        blocks = []
        achieved = (report.successes > 0) & (report.attempts > 0)
        if achieved.any():
            worst = report.subset(achieved).worst(_HARDEST)
            blocks.append(table(map(text, ("hardest achieved", "success", "steps")), _worst_rows(worst)))
        more = f" and {len(lost) - _LISTED} more" if len(lost) > _LISTED else ""
        chips = "".join(element("li", text(name)) for name in lost[:_LISTED]) or element("li", "none")
        note = element("p", text(f"...{more}; the table below has them all."), class_="note") if more else ""
        blocks.append(element("h3", f"Never achieved: {len(lost)}") + element("ul", chips, class_="chips") + note)
        title = element("h3", text(story.label)) if len(stories) > 1 else ""
        parts.append(title + element("div", "".join(element("div", block) for block in blocks), class_="columns"))
    return card("Hardest goals", *parts, id_="hardest")


def making(stories: Sequence[Story]) -> str:
    """
    :param stories: the runs
    :return: commands, settings, versions
    """
    parts = []
    for story in stories:
        config, settings = story.run.config, story.run.config.settings
        facts: dict[str, Any] = {
            "algorithm": config.algorithm,
            "environment": config.environment,
            **({"environment arguments": config.env_kwargs} if config.env_kwargs else {}),
            "seeds": [seed.seed for seed in story.seeds],
            "steps": settings.steps,
            "environments at once": settings.num_envs,
            "hyperparameters": settings.hyperparameters or "the algorithm's defaults",
        }
        listing = yaml.safe_dump(facts, sort_keys=False, default_flow_style=None, width=100)
        origin = yaml.safe_dump(story.run.provenance, sort_keys=False, default_flow_style=False, width=100)
        title = element("h3", text(story.label)) if len(stories) > 1 else ""
        more = f"<details><summary>versions, machine, state of the code</summary><pre>{text(origin)}</pre></details>"
        parts.append(element("div", f"{title}<pre>{text(story.run.command)}</pre><pre>{text(listing)}</pre>{more}"))
    return card("How it was made", element("div", "".join(parts), class_="columns"), id_="making")


def _worst_rows(worst: GoalReport) -> list[list[str]]:
    columns = zip(worst.goal_names, worst.success_rate.tolist(), worst.mean_steps.tolist(), strict=True)
    return [[text(name), percent(rate), f"{steps:.1f}"] for name, rate, steps in columns]
