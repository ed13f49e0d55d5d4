"""Sections for which the agents must be loaded: what they do, and what they believe."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from leo_agents.evaluation.goal_report import FloatArray, GoalReport
from leo_agents.networks.policies import expected_steps
from leo_cli.agent_rollout import Walk
from leo_cli.goal_positions import Places, places_of
from leo_cli.html.colours import ramp_legend
from leo_cli.html.goal_map import dot_map, goal_map
from leo_cli.html.maps import data_uri
from leo_cli.html.markup import card, element, text
from leo_cli.models import load_agent
from leo_cli.results import Story
from leo_cli.value_maps import goal_values, standpoints, values_towards
from leo_cli.video import film, film_bytes

_WIDTH, _FPS = 240, 10.0
_MOST_STEPS, _MOST_FRAMES = 300, 90
_FAR = 9_999
_FROM_START = "how many steps away the agent believes every goal to be at the start of an episode (the cross)"


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
        environment, judged = story.run.config.find_environment(), story.run.config.settings.evaluation
        if "rgb_array" not in environment.make().metadata.get("render_modes", []) or not goals:
            return ""
        agent = load_agent(story.run, story.seeds[0])
        walks[story.label] = Walk(agent, environment.make("rgb_array"), random_actions=judged.epsilon)
    figures = []
    for goal in goals:
        for story in stories:
            tell(f"Filming {story.label} on its way to {goal} ...")
            judged = story.run.config.settings.evaluation
            steps = min(judged.max_steps or _MOST_STEPS, _MOST_STEPS)
            whose = f"<b>{text(story.label)}</b>" if len(stories) > 1 else ""
            try:
                figures.append(_film(walks[story.label], goal, steps, whose))
            except OSError as error:  # no reason to go without the rest of the report
                tell(f"No films: {error}")
                return ""
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
    Where goals are achieved, and how far away the agent believes them to be: all from the start, and some from elsewhere.

    :param stories: the runs
    :param goals: where the goals of the last kind stand in the reports
    :return: the section; nothing where goals have no place
    """
    figures, notes = [], dict[str, None]()
    for story in stories:
        env = story.run.config.find_environment().make()
        places = places_of(story.report, env)
        if places is None:
            return ""
        whose = f", {text(story.label)}" if len(stories) > 1 else ""
        pictures = [_success(story, places), *_beliefs(story, env, places, goals)]
        notes |= dict.fromkeys(picture.note for picture in pictures)
        wide = "wide" if len(places.layers()) > 1 else None
        for picture in pictures:
            caption = element("figcaption", f"<b>{text(picture.title)}</b>{whose}")
            figures.append(element("figure", picture.markup + caption, class_=wide))
    note = f"{'; '.join(notes)}. Point at a goal for its name."
    legends = ramp_legend("0 % success, or far", "100 %, or near")
    return card("Maps", element("div", "".join(figures), class_="maps"), legends, note=note, id_="maps")


@dataclass(frozen=True)
class _Picture:
    """A map, what it is of, and what its kind shows."""

    markup: str
    title: str
    note: str


def _success(story: Story, places: Places) -> _Picture:
    report = story.report
    titles = [
        f"{name}: {100 * rate:.0f} % of {tried} attempts" if tried else f"{name}: true at the start"
        for name, rate, tried in zip(report.goal_names, report.success_rate.tolist(), report.attempts.tolist(), strict=True)
    ]
    picture = goal_map(places, report.success_rate, titles, "Success at every goal")
    layers = ", in layers from the lowest to the highest," if len(places.layers()) > 1 else ""
    return _Picture(picture, "success", f"Success{layers} in the end")


def _beliefs(story: Story, env: gym.Env[Any, Any], places: Places, goals: Sequence[int]) -> Iterator[_Picture]:
    report, names = story.report, story.report.goal_names
    agent = load_agent(story.run, story.seeds[0])
    observation, info = env.reset(seed=0)
    values = goal_values(agent, env, observation)
    if values is None:
        return
    steps = expected_steps(values[report.goal_ids], agent.gamma)
    said = [f"{name}: {_about(step)}" for name, step in zip(names, steps.tolist(), strict=True)]
    start = _start(observation, info["goals_achieved"][report.goal_ids], places)
    title = "every goal, from the start"
    picture = goal_map(places, _nearness(steps), said, f"Expected steps: {title}", cross=start)
    yield _Picture(
        picture, title, "how many steps away the agent believes every goal to be at the start of an episode (the cross)"
    )
    seen = standpoints(agent, env, story.run.config.settings.evaluation.epsilon)
    for goal in goals if seen is not None else ():
        assert seen is not None
        values = values_towards(agent, env, seen.observations, int(report.goal_ids[goal]))
        if values is None:
            return
        if seen.places is not None:
            shares = _nearness(expected_steps(values, agent.gamma))
            picture = dot_map(places, seen.places, shares, f"Expected steps to {names[goal]} from where the agent came", goal)
            yield _Picture(picture, names[goal], "and one goal (the ring) from wherever its ways led")
        else:
            steps = expected_steps(values[report.goal_ids], agent.gamma)
            said = [f"{name}: {_about(step)}" for name, step in zip(names, steps.tolist(), strict=True)]
            picture = goal_map(places, _nearness(steps), said, f"Expected steps to {names[goal]}", ring=goal)
            yield _Picture(picture, names[goal], "and one goal (the ring) from everywhere")


def _start(observation: Any, achieved: npt.NDArray[np.bool_], places: Places) -> FloatArray | None:
    """Where an episode begins, if that is a place among the goals."""
    size = 2 if places.heights is None else 3
    if isinstance(observation, dict) and "achieved_goal" in observation:
        point = np.asarray(observation["achieved_goal"], dtype=np.float64)
        return point[:size] if len(point) >= size else None
    here = np.flatnonzero(achieved)
    return places.positions[here[0]] if len(here) == 1 else None


def _nearness(steps: FloatArray) -> FloatArray:
    """From 1, there, to 0, as far as most of the goals that can be reached at all are near."""
    finite = steps[np.isfinite(steps)]
    farthest = max(1.3 * float(np.percentile(finite, 90)) if len(finite) else 1.0, 2.0)
    return 1.0 - np.clip(steps, 0.0, farthest) / farthest


def _about(steps: float) -> str:
    return "out of reach" if steps > _FAR else f"about {steps:.0f} steps away"
