"""Sections of the report. Each function takes the results of the runs and returns markup, which may be empty."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import yaml

from leo_agents.evaluation.chart_data import family_rates
from leo_agents.evaluation.goal_report import GoalReport
from leo_agents.evaluation.report_text import decimal, percent
from leo_cli.html.charts import Line, family_chart, legend, line_chart
from leo_cli.html.colors import ramp_legend, run_color
from leo_cli.html.heat_map import heat_map
from leo_cli.html.markup import card, element, table, text, with_interval
from leo_cli.results import RunResults, goal_order

_MAX_LISTED = 30
_NUM_HARDEST = 10


def summary_tiles(results: Sequence[RunResults]) -> str:
    """Summarize the best run in a few numbers."""
    best = max(results, key=lambda result: np.nan_to_num(result.mean_success))
    report = best.report
    num_attempted = int((report.attempts > 0).sum())
    label = f" ({best.label})" if len(results) > 1 else ""
    low, high = best.mean_interval or report.mean_interval()
    items = [
        (percent(best.mean_success, 0), f"mean success{label}, 95 % interval {100 * low:.0f} to {100 * high:.0f}"),
        (f"{report.num_learned()} of {num_attempted}", "goals learned: success rate of at least 50 %"),
        (str(len(best.never_achieved)), "goals never achieved in the final evaluation"),
        (f"{best.steps:,}", f"environment steps, {best.num_seeds_text}"),
    ]
    tiles = [f'<div class="tile"><b>{text(number)}</b><span>{text(label)}</span></div>' for number, label in items]
    return element("div", "".join(tiles), class_="tiles")


def results_section(results: Sequence[RunResults]) -> str:
    """Build the table of final results with one row per run."""
    header = ["run", "steps", "seeds", "mean success", "interquartile mean", "learned", "never achieved", "steps to success"]
    rows = [
        [
            f'<i class="dot" style="background:{run_color(number)}"></i>{text(result.label)}',
            f"{result.steps:,}",
            str(len(result.seeds)),
            with_interval(result.mean_success, result.mean_interval),
            with_interval(result.iqm, result.iqm_interval),
            str(result.report.num_learned()),
            str(len(result.never_achieved)),
            decimal(result.report.mean_num_steps),
        ]
        for number, result in enumerate(results)
    ]
    note = "Intervals: 95 % stratified bootstrap over seeds; not available for a single seed."
    return card("Runs" if len(results) > 1 else "Final results", table(map(text, header), rows), note=note, id_="runs")


def learning_section(results: Sequence[RunResults]) -> str:
    """Build the learning curves; empty if a run has no evaluations during training."""
    if not all(len(result.timesteps) for result in results):
        return ""
    success, learned = [], []
    for curve in (result.success_curve for result in results):
        steps = curve.timesteps.astype(np.float64)
        success.append(Line(curve.label, steps, 100 * curve.success, None if curve.band is None else 100 * curve.band))
        learned.append(Line(curve.label, steps, curve.num_learned))
    num_goals = float(len(results[0].report))
    charts = {
        "mean success over all goals": line_chart(success, limit=100.0, unit=" %", description="Success over the training"),
        "goals learned": line_chart(learned, limit=num_goals, unit="", description="Goals learned over the training"),
    }
    figures = [f"<figure>{chart}<figcaption>{text(title)}</figcaption></figure>" for title, chart in charts.items()]
    has_bands = any(line.band is not None for line in success)
    note = "Each evaluation attempts every goal." + (" Bands: 95 % stratified bootstrap over seeds." if has_bands else "")
    parts = legend([result.label for result in results]) + element("div", "".join(figures), class_="columns")
    return card("Learning", parts, note=note, id_="learning")


def families_section(results: Sequence[RunResults]) -> str:
    """Build the chart of final success by family; empty if there is only one family, or one for each goal."""
    if not 1 < len(results[0].report.families) < len(results[0].report):
        return ""
    chart = family_chart(family_rates({result.label: result.report for result in results}), "Success by family")
    note = "Final mean success rate with 95 % intervals; number of goals in brackets."
    labels = legend([result.label for result in results])
    return card("Families of goals", labels, element("div", chart, class_="columns"), note=note, id_="families")


def over_time_section(results: Sequence[RunResults]) -> str:
    """Build the heat maps of each goal's success over time; empty if no run has evaluations during training."""
    order, starts = goal_order(results)
    figures = []
    for result in results:
        if not len(result.timesteps):
            continue
        description = f"Success at every goal over time, {result.label}"
        chart = heat_map(result.success_over_time[:, order].T, result.timesteps, starts, description)
        caption = f"<figcaption><b>{text(result.label)}</b></figcaption>" if len(results) > 1 else ""
        figures.append(f"<figure>{chart}{caption}</figure>")
    if not figures:
        return ""
    note = (
        "One row per goal, grouped by family, highest success over time first; the same order for every run. Blank: achieved "
        "at the reset, so not attempted."
    )
    grid = element("div", "".join(figures), class_="columns")
    return card("Goals over time", grid, ramp_legend("0 % success", "100 %"), note=note, id_="time")


def hardest_section(results: Sequence[RunResults]) -> str:
    """List the achieved goals with the lowest success rates, and the goals never achieved."""
    parts = []
    for result in results:
        report, never = result.report, result.never_achieved
        blocks = []
        achieved = report.successes > 0
        if achieved.any():
            rows = _hardest_rows(report.subset(achieved).worst(_NUM_HARDEST))
            blocks.append(table(map(text, ("hardest achieved", "success", "steps")), rows))
        more = f"... and {len(never) - _MAX_LISTED} more; see the table below." if len(never) > _MAX_LISTED else ""
        chips = "".join(element("li", text(name)) for name in never[:_MAX_LISTED]) or element("li", "none")
        note = element("p", text(more), class_="note") if more else ""
        blocks.append(element("h3", f"Never achieved: {len(never)}") + element("ul", chips, class_="chips") + note)
        parts.append(_run_title(results, result))
        parts.append(element("div", "".join(element("div", block) for block in blocks), class_="columns"))
    return card("Hardest goals", *parts, id_="hardest")


def provenance_section(results: Sequence[RunResults]) -> str:
    """Show command, settings and versions of each run."""
    parts = []
    for result in results:
        config, settings = result.run.config, result.run.config.settings
        facts: dict[str, Any] = {
            "algorithm": config.algorithm,
            "environment": config.environment,
            **({"environment arguments": config.env_kwargs} if config.env_kwargs else {}),
            "seeds": [seed.seed for seed in result.seeds],
            "steps": settings.steps,
            "parallel environments": settings.num_envs,
            "hyperparameters": settings.hyperparameters or "the algorithm's defaults",
        }
        listing = yaml.safe_dump(facts, sort_keys=False, default_flow_style=None, width=100)
        machine = yaml.safe_dump(result.run.provenance, sort_keys=False, default_flow_style=False, width=100)
        details = f"<details><summary>versions, machine, state of the code</summary><pre>{text(machine)}</pre></details>"
        code = f"<pre>{text(result.run.command)}</pre><pre>{text(listing)}</pre>"
        parts.append(element("div", f"{_run_title(results, result)}{code}{details}"))
    return card("Provenance", element("div", "".join(parts), class_="columns"), id_="provenance")


def _run_title(results: Sequence[RunResults], result: RunResults) -> str:
    return element("h3", text(result.label)) if len(results) > 1 else ""


def _hardest_rows(report: GoalReport) -> list[list[str]]:
    columns = zip(report.goal_names, report.success_rate.tolist(), report.mean_steps.tolist(), strict=True)
    return [[text(name), percent(rate, 0), decimal(steps)] for name, rate, steps in columns]
