"""Sections for which the agents must be loaded: what they do, and what they believe."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from leo_agents.evaluation.goal_report import GoalReport
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


def telling_goals(report: GoalReport, count: int) -> list[int]:
    """
    A few goals worth watching: the farthest one that is reached most of the time, one half as far, the least certain one, and one
    that is never reached.

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
    if not goals:
        return ""
    figures = []
    for story in stories:
        env = story.run.config.make_environment()
        if "rgb_array" not in env.make().metadata.get("render_modes", []):
            return ""
        judged = story.run.config.settings.evaluation
        agent = load_agent(story.run, story.seeds[0])
        walk = Walk(agent, env.make("rgb_array"), random_actions=judged.random_actions)
        for goal in goals:
            tell(f"Filming {story.label} on its way to {goal} ...")
            walk.restart(0)
            frames = film(walk, [goal], max_steps=min(judged.max_steps or _MOST_STEPS, _MOST_STEPS), fps=_FPS, width=_WIDTH)
            hurry = -(-len(frames) // _MOST_FRAMES)
            # The last pictures are the pause at the end: they stay.
            kept = [*frames[::hurry], frames[-1]]
            source = data_uri("image/webp", film_bytes(kept, "webp", _FPS))
            said = f"<b>{text(goal)}</b>" + (f", {text(story.label)}" if len(stories) > 1 else "")
            said += f", at {hurry} times the speed" if hurry > 1 else ""
            picture = f'<img src="{source}" alt="{text(f"{story.label} on its way to {goal}")}" width="{_WIDTH}">'
            figures.append(f"<figure>{picture}<figcaption>{said}</figcaption></figure>")
    note = "One episode each, acting as in the evaluations."
    return card("On the way", element("div", "".join(figures), class_="maps"), note=note, id_="watch")


def value_maps(stories: Sequence[Story], goals: Sequence[int]) -> str:
    """
    What each agent believes: the value of every goal from the start, and of some goals from everywhere.

    :param stories: the runs
    :param goals: where the goals of the second kind stand in the reports
    :return: the section; nothing where goals have no place or agents no values
    """
    figures: list[str] = []
    for story in stories:
        report = story.report
        if report.positions is None:
            return ""
        figures += _maps_of(story, goals, f", {text(story.label)}" if len(stories) > 1 else "")
    if not figures:
        return ""
    note = (
        "The value of a goal is the discounted probability of ever reaching it. The first map: of every goal, seen from the start. "
        "The others: of one goal (the ring), seen from every place."
    )
    return card(
        "What it believes", element("div", "".join(figures), class_="maps"), ramp_legend("value"), note=note, id_="values"
    )


def _maps_of(story: Story, goals: Sequence[int], whose: str) -> list[str]:
    report, config = story.report, story.run.config
    assert report.positions is not None
    agent = load_agent(story.run, story.seeds[0])
    env: Any = config.make_environment().make()
    observation, _ = env.reset(seed=0)
    figures = []

    def add(values: Any, title: str, mark: int | None = None) -> None:
        shown = np.clip(values[report.goal_ids], 0.0, 1.0)
        picture = goal_map(report.positions, report.axes, shown, report.goal_names, title, mark)  # type: ignore[arg-type]
        figures.append(f"<figure>{picture}<figcaption><b>{text(title)}</b>{whose}</figcaption></figure>")

    values = goal_values(agent, observation, len(config.goals))
    if values is not None:
        add(values, "every goal, from the start")
    for goal in goals:
        values = values_towards(agent, env, int(report.goal_ids[goal]))
        if values is not None:
            add(values, report.goal_names[goal], goal)
    return figures
