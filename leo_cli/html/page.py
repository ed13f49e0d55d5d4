"""The whole report, a single HTML file without references to other files or the network."""

from collections.abc import Callable, Sequence
from pathlib import Path

import leo_wrappers
from leo_cli.html.agent_sections import maps_section, programs_section, representative_goals, videos_section
from leo_cli.html.discovery import discovery_section
from leo_cli.html.goal_table import goals_section
from leo_cli.html.markup import element, text
from leo_cli.html.sections import (
    families_section,
    hardest_section,
    learning_section,
    over_time_section,
    provenance_section,
    results_section,
    summary_tiles,
)
from leo_cli.html.stability_section import stability_section
from leo_cli.named_goals import NamedGoal
from leo_cli.results import RunResults

_FOLDER = Path(__file__).parent
_NUM_MAPPED_GOALS = 2


def report_page(
    results: Sequence[RunResults],
    *,
    goals: Sequence[NamedGoal] | None = None,
    programs: Sequence[NamedGoal] = (),
    num_videos: int = 4,
    log: Callable[[str], object] = print,
) -> str:
    """
    Build the report.

    :param results: results of the runs, with the same goals
    :param goals: goals to record videos of; representative ones when None
    :param programs: programs to run, and to draw
    :param num_videos: number of representative goals to record
    :param log: function that receives progress messages
    :return: the HTML page
    """
    chosen = representative_goals(results[0].report, max(num_videos, _NUM_MAPPED_GOALS))
    names, config = results[0].report.goal_names, results[0].run.config
    recorded = list(goals) if goals else [config.find_goal(names[goal]) for goal in chosen[:num_videos]]
    sections = {
        "runs": results_section(results),
        "learning": learning_section(results),
        "discovery": discovery_section(results),
        "families": families_section(results),
        "maps": maps_section(results, chosen[:_NUM_MAPPED_GOALS]),
        "videos": videos_section(results, recorded, log),
        "programs": programs_section(results, programs),
        "time": over_time_section(results),
        "hardest": hardest_section(results),
        "stability": stability_section(results),
        "goals": goals_section(results),
        "provenance": provenance_section(results),
    }
    sections = {key: section for key, section in sections.items() if section}
    menu = "".join(element("a", text(_MENU[key]), href=f"#{key}") for key in sections)
    content = summary_tiles(results) + _layout(sections, paired=len(results) == 1)
    return html_page(_title(results), _lead(results), content, menu)


_MENU = {
    "runs": "results", "learning": "learning", "discovery": "discovery", "families": "families", "maps": "maps",
    "videos": "videos", "programs": "programs", "time": "over time", "hardest": "hardest", "stability": "stability",
    "goals": "all goals", "provenance": "provenance",
}  # fmt: skip


def _title(results: Sequence[RunResults]) -> str:
    labels = [result.label for result in results]
    runs = labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"
    return f"{runs} on {results[0].run.config.environment.rpartition(':')[2]}"


def _lead(results: Sequence[RunResults]) -> str:
    config = results[0].run.config
    num_unreachable = len(config.goals) - len(config.eval_goal_ids)
    excluded = f"; {num_unreachable} more cannot be reached from the start and are excluded" if num_unreachable else ""
    num_seeds = sum(len(result.seeds) for result in results)
    kind = "goals" if config.points is None else "random goals; any other point can be commanded, too"
    return f"{num_seeds} training{'s' * (num_seeds > 1)}, evaluated on {len(config.eval_goal_ids)} {kind}{excluded}."


def _layout(sections: dict[str, str], paired: bool) -> str:
    """Stack the sections; for a single run, two narrow ones stand side by side."""
    if not paired or "time" not in sections:
        return "".join(sections.values())
    right = "families" if "families" in sections else "hardest"
    pair = f'<div class="pair">{sections["time"]}{sections[right]}</div>'
    return "".join(pair if key == "time" else section for key, section in sections.items() if key != right)


def html_page(title: str, lead: str, content: str, menu: str) -> str:
    """
    Build a page.

    :param title: title of the page
    :param lead: text below the title
    :param content: markup of the sections
    :param menu: markup of the links to them
    """
    style, script = ((_FOLDER / name).read_text(encoding="utf-8") for name in ("style.css", "table.js"))
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{text(title)}</title><style>\n{style}</style>'
    )
    header = f'<header><h1>{text(title)}</h1><p class="lead">{text(lead)}</p><nav>{menu}</nav></header>'
    footer = f"<footer>Made with leo-rl {leo_wrappers.__version__} by <code>leo report</code>.</footer>"
    body = f"{header}<main>{content}</main>{footer}"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}<script>\n{script}</script></body></html>\n'
