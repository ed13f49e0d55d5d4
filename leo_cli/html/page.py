"""The whole report: one file that needs no other, and no network."""

from collections.abc import Callable, Sequence
from pathlib import Path

import leo_wrappers
from leo_cli.html.agent_sections import animations, goal_maps, telling_goals
from leo_cli.html.goal_table import goal_table
from leo_cli.html.markup import element, text
from leo_cli.html.sections import comparison, families, hardest, heat_maps, learning, making, tiles
from leo_cli.results import Story

_FOLDER = Path(__file__).parent
_MAPPED_GOALS = 2


def report_page(
    stories: Sequence[Story], *, goals: Sequence[str] | None = None, films: int = 4, tell: Callable[[str], object] = print
) -> str:
    """
    :param stories: the runs, about the same goals
    :param goals: whose way to film; a few telling ones when None
    :param films: how many to choose
    :param tell: says what is being done
    :return: the page
    """
    chosen = telling_goals(stories[0].report, max(films, _MAPPED_GOALS))
    names = stories[0].report.goal_names
    filmed = list(goals) if goals else [names[goal] for goal in chosen[:films]]
    parts = {
        "runs": comparison(stories),
        "learning": learning(stories),
        "families": families(stories),
        "maps": goal_maps(stories, chosen[:_MAPPED_GOALS]),
        "watch": animations(stories, filmed, tell),
        "time": heat_maps(stories),
        "hardest": hardest(stories),
        "goals": goal_table(stories),
        "making": making(stories),
    }
    parts = {key: part for key, part in parts.items() if part}
    menu = "".join(element("a", text(_MENU[key]), href=f"#{key}") for key in parts)
    content = tiles(stories) + _laid_out(parts, paired=len(stories) == 1)
    return _page(_title(stories), _lead(stories), content, menu)


_MENU = {
    "runs": "results", "learning": "learning", "families": "families", "maps": "maps", "watch": "on the way",
    "time": "over time", "hardest": "hardest", "goals": "all goals", "making": "how it was made",
}  # fmt: skip


def _title(stories: Sequence[Story]) -> str:
    labels = [story.label for story in stories]
    shown = labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"
    return f"{shown} on {stories[0].run.config.environment.rpartition(':')[2]}"


def _lead(stories: Sequence[Story]) -> str:
    config = stories[0].run.config
    without = len(config.goals) - len(config.eval_goal_ids)
    reach = f"; {without} more cannot be reached from the start and are left out" if without else ""
    seeds = sum(len(story.seeds) for story in stories)
    trainings = f"{seeds} training{'s' * (seeds > 1)}"
    return f"{trainings}, judged by {len(config.eval_goal_ids)} goals{reach}."


def _laid_out(parts: dict[str, str], paired: bool) -> str:
    """One section below the other, but for two that are narrow enough, with a single run, to stand side by side."""
    if not paired or "time" not in parts:
        return "".join(parts.values())
    beside = "families" if "families" in parts else "hardest"
    pair = f'<div class="pair">{parts["time"]}{parts[beside]}</div>'
    return "".join(pair if key == "time" else part for key, part in parts.items() if key != beside)


def _page(title: str, lead: str, content: str, menu: str) -> str:
    style, script = ((_FOLDER / name).read_text(encoding="utf-8") for name in ("style.css", "table.js"))
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{text(title)}</title><style>\n{style}</style>'
    )
    header = f'<header><h1>{text(title)}</h1><p class="lead">{text(lead)}</p><nav>{menu}</nav></header>'
    footer = f"<footer>Made with leo-rl {leo_wrappers.__version__} by <code>leo report</code>.</footer>"
    whole = f"{header}<main>{content}</main>{footer}"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{whole}<script>\n{script}</script></body></html>\n'
