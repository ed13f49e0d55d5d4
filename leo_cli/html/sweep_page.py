"""The report of a sweep: a comparison for each environment, and the state of the jobs."""

from collections import Counter
from collections.abc import Sequence

from leo_agents.evaluation.report_text import percent
from leo_cli.html.charts import Line, legend, line_chart
from leo_cli.html.colors import run_color
from leo_cli.html.markup import card, element, table, text, with_interval
from leo_cli.html.page import html_page
from leo_cli.sweeps.folder import SweepFolder
from leo_cli.sweeps.job_queue import FAILED, FINISHED, STATES
from leo_cli.sweeps.results import GroupResults

_MAX_LINES = 8
_LOG_LINES = 12


def sweep_page(sweep: SweepFolder, groups: dict[str, list[GroupResults]]) -> str:
    """
    Build the report.

    :param sweep: the sweep
    :param groups: results for each environment
    :return: the HTML page
    """
    states = sweep.queue.states()
    cards = [_environment_card(f"env-{number}", name, groups[name]) for number, name in enumerate(groups)]
    failed = [job for job, state in states.items() if state == FAILED]
    menu = "".join(element("a", text(name), href=f"#env-{number}") for number, name in enumerate(groups))
    content = _tiles(Counter(states.values())) + "".join(cards) + (_failed_card(sweep, failed) if failed else "")
    lead = f"{len(states)} jobs in {sweep.path}. Intervals: 95 % stratified bootstrap over the finished seeds."
    return html_page(sweep.path.resolve().name, lead, content, menu)


def _tiles(count: Counter[str]) -> str:
    order = (FINISHED, *(state for state in STATES if state != FINISHED))
    tiles = [f'<div class="tile"><b>{count[state]}</b><span>jobs {state}</span></div>' for state in order]
    return element("div", "".join(tiles), class_="tiles")


def _environment_card(id_: str, title: str, groups: Sequence[GroupResults]) -> str:
    header = ["settings", "seeds finished", "final success", "success so far", "steps"]
    rows = [
        [
            (f'<i class="dot" style="background:{run_color(number)}"></i>' if number < _MAX_LINES else "")
            + text(group.results.label),
            f"{group.finished} of {group.total}",
            with_interval(group.final, group.interval),
            percent(group.latest),
            f"{int(group.results.timesteps[-1]):,}" if len(group.results.timesteps) else "",
        ]
        for number, group in enumerate(groups)
    ]
    note = "Success so far: at the last evaluation during training that all started seeds have reached."
    return card(title, table(map(text, header), rows), _chart(groups[:_MAX_LINES]), note=note, id_=id_)


def _chart(groups: Sequence[GroupResults]) -> str:
    curves = [group.results.success_curve for group in groups if len(group.results.timesteps)]
    if not curves:
        return ""
    lines = [
        Line(curve.label, curve.timesteps.astype(float), 100 * curve.success, None if curve.band is None else 100 * curve.band)
        for curve in curves
    ]
    chart = line_chart(lines, limit=100.0, unit=" %", description="Mean success over all goals over the training")
    figure = f"<figure>{chart}<figcaption>mean success over all goals</figcaption></figure>"
    return legend([curve.label for curve in curves]) + element("div", figure, class_="columns")


def _failed_card(sweep: SweepFolder, jobs: Sequence[str]) -> str:
    parts = []
    for job in jobs:
        logs = sorted(sweep.job_path(job).glob("*.log"))
        lines = logs[-1].read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:] if logs else []
        parts.append(f"<h3>{text(job)}</h3><pre>{text(chr(10).join(lines))}</pre>")
    return card("Failed jobs", *parts, note="The end of the last log of each; all logs are in its folder.", id_="failed")
