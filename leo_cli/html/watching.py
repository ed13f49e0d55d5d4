"""Sections for which the agents must be loaded: what they do, and what they believe."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from leo_agents.common.goal_policy import expected_steps
from leo_agents.evaluation.goal_report import FloatArray, GoalReport
from leo_cli.animations import film, film_bytes
from leo_cli.html.colours import ramp_legend
from leo_cli.html.maps import data_uri, goal_map
from leo_cli.html.markup import card, element, text
from leo_cli.run_folder import load_agent
from leo_cli.stories import Story
from leo_cli.value_maps import goal_values, values_towards
from leo_cli.walks import Walk

_WIDTH, _FPS = 240, 10.0
_MOST_STEPS, _MOST_FRAMES = 300, 90
_FAR = 9_999


def telling_goals(report: GoalReport, count: int) -> list[int]:
    """
    A few goals worth watching: the farthest one that is reached most of the time, one half as far, the least certain one, and
    one that is never reached.

    :param report: success in the end
    :param count: how many, at most
    :return: where they stand in the report
    """
    rate, steps = np.nan_to_num(report.success_rate), np.nan_to_num(report.mean_steps)
    solid = np.flatnonzero(rate >= 0.5)
    by_distance = solid[np.argsort(-steps[solid], kind="stable")]
    shaky = np.flatnonzero((rate > 0) & (rate < 1))
    lost = np.flatnonzero((report.attempts > 0) & (rate == 0))
    wanted = [
        *by_distance[:1],
        *by_distance[len(by_distance) // 2 :][:1],
        *shaky[np.argsort(rate[shaky], kind="stable")][:1],
        *lost[len(lost) // 2 :][:1],
        *by_distance[len(by_distance) // 4 :][:1],
        *by_distance[3 * len(by_distance) // 4 :][:1],
        *by_distance[1:],
    ]
    return list(dict.fromkeys(int(goal) for goal in wanted))[:count]


def animations(stories: Sequence[Story], goals: Sequence[str], tell: Callable[[str], object]) -> str:
    """
    Each run's agent on its way to each goal.

    :param stories: the runs
    :param goals: where to
    :param tell: says what is being done, since it takes a while
    :return: the section; nothing where the environment cannot be drawn
    """
    walks = {}
    for story in stories:
        environment, judged = story.run.config.make_environment(), story.run.config.settings.evaluation
        if "rgb_array" not in environment.make().metadata.get("render_modes", []) or not goals:
            return ""
        agent = load_agent(story.run, story.seeds[0])
        walks[story.label] = Walk(agent, environment.make("rgb_array"), random_actions=judged.random_actions)
    figures = []
    for goal in goals:
        for story in stories:
            tell(f"Filming {story.label} on its way to {goal} ...")
            judged = story.run.config.settings.evaluation
            steps = min(judged.max_steps or _MOST_STEPS, _MOST_STEPS)
            whose = f"<b>{text(story.label)}</b>" if len(stories) > 1 else ""
            figures.append(_film(walks[story.label], goal, steps, whose))
    note = "One episode each, acting as in the evaluations."
    return card("On the way", element("div", "".join(figures), class_="maps"), note=note, id_="watch")


def _film(walk: Walk, goal: str, max_steps: int, whose: str) -> str:
    """The goal and the number of steps are written in the picture."""
    walk.restart(0)
    frames = film(walk, [goal], max_steps=max_steps, fps=_FPS, width=_WIDTH)
    hurry = -(-len(frames) // _MOST_FRAMES)
    # The last pictures are the pause at the end: they stay.
    source = data_uri("image/webp", film_bytes([*frames[::hurry], frames[-1]], "webp", _FPS))
    said = [*([whose] if whose else []), *([f"{hurry} times as fast"] if hurry > 1 else [])]
    caption = f"<figcaption>{', '.join(said)}</figcaption>" if said else ""
    picture = f'<img src="{source}" alt="{text(f"on the way to {goal}")}" width="{_WIDTH}">'
    return f"<figure>{picture}{caption}</figure>"


def goal_maps(stories: Sequence[Story], goals: Sequence[int]) -> str:
    """
    Where goals are achieved, and how far away the agent believes them to be: all from the start, and some from everywhere.

    :param stories: the runs
    :param goals: where the goals of the last kind stand in the reports
    :return: the section; nothing where goals have no place
    """
    if any(story.report.positions is None for story in stories):
        return ""
    figures = []
    for story in stories:
        whose = f", {text(story.label)}" if len(stories) > 1 else ""
        figures += [_figure(picture, title, whose) for picture, title in _maps_of(story, goals)]
    note = (
        "Success in the end; then how many steps away the agent believes every goal to be at the start of an episode, and one "
        "goal (the ring) from everywhere. Point at a cell for its name."
    )
    legends = ramp_legend("0 % success, or far", "100 %, or near")
    return card("Maps", element("div", "".join(figures), class_="maps"), legends, note=note, id_="maps")


def _figure(picture: str, title: str, whose: str) -> str:
    return f"<figure>{picture}<figcaption><b>{text(title)}</b>{whose}</figcaption></figure>"


def _maps_of(story: Story, goals: Sequence[int]) -> list[tuple[str, str]]:
    """Pictures with their titles."""
    report, config = story.report, story.run.config
    positions, axes, names = report.positions, report.axes, report.goal_names
    assert positions is not None
    titles = [
        f"{name}: {100 * rate:.0f} % of {tried} attempts" if tried else f"{name}: true at the start"
        for name, rate, tried in zip(names, report.success_rate.tolist(), report.attempts.tolist(), strict=True)
    ]
    pictures = [(goal_map(positions, axes, report.success_rate, titles, "Success at every goal"), "success")]
    agent = load_agent(story.run, story.seeds[0])
    env: Any = config.make_environment().make()
    observation, _ = env.reset(seed=0)
    beliefs = [(goal_values(agent, observation, len(config.goals)), "every goal, from the start", -1)]
    beliefs += [(values_towards(agent, env, int(report.goal_ids[goal])), names[goal], goal) for goal in goals]
    for values, title, mark in beliefs:
        if values is not None:
            steps = expected_steps(values[report.goal_ids], agent.gamma)
            said = [f"{name}: {_about(step)}" for name, step in zip(names, steps.tolist(), strict=True)]
            pictures.append((goal_map(positions, axes, _nearness(steps), said, f"Expected steps: {title}", mark), title))
    return pictures


def _nearness(steps: FloatArray) -> FloatArray:
    """From 1, there, to 0, as far as most of the goals that can be reached at all are near."""
    finite = steps[np.isfinite(steps)]
    farthest = max(1.3 * float(np.percentile(finite, 90)) if len(finite) else 1.0, 2.0)
    return 1.0 - np.clip(steps, 0.0, farthest) / farthest


def _about(steps: float) -> str:
    return "out of reach" if steps > _FAR else f"about {steps:.0f} steps away"
