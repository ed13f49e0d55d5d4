"""Sections of the report that load the agents: videos, and maps of success and expected steps."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from leo_agents.evaluation.goal_report import FloatArray, GoalReport
from leo_agents.networks.policies import expected_steps
from leo_agents.programs import plot_programs
from leo_cli.agent_rollout import AgentRollout, make_rollout
from leo_cli.evaluation import SEED
from leo_cli.goal_positions import GoalPositions, locate_goals
from leo_cli.html.colors import ramp_legend
from leo_cli.html.goal_map import goal_map, state_map
from leo_cli.html.heat_map import data_uri
from leo_cli.html.markup import card, element, text
from leo_cli.models import load_agent
from leo_cli.named_goals import NamedGoal
from leo_cli.programs import record_programs
from leo_cli.results import RunResults
from leo_cli.value_maps import goal_values, probe_states, state_values
from leo_cli.video import encode_video, record_frames
from leo_wrappers.keys import MASK_KEY

_WIDTH, _FPS = 240, 10.0
_MAX_STEPS, _MAX_FRAMES = 300, 90
_MAX_EXPECTED_STEPS = 9_999


def representative_goals(report: GoalReport, count: int) -> list[int]:
    """
    Choose goals for videos and maps: the farthest goal that is learned, one at half its rank, the least reliable one and one
    that is never achieved, then more of the learned goals.

    :param report: final report
    :param count: maximum number of goals
    :return: indices into the report
    """
    rate, steps = np.nan_to_num(report.success_rate), np.nan_to_num(report.mean_steps)
    learned = np.flatnonzero(rate >= 0.5)
    by_distance = learned[np.argsort(-steps[learned], kind="stable")]
    unreliable = np.flatnonzero((rate > 0) & (rate < 1))
    never = np.flatnonzero((report.attempts > 0) & (rate == 0))
    candidates = [
        *by_distance[:1],
        *by_distance[len(by_distance) // 2 :][:1],
        *unreliable[np.argsort(rate[unreliable], kind="stable")][:1],
        *never[len(never) // 2 :][:1],
        *by_distance[len(by_distance) // 4 :][:1],
        *by_distance[3 * len(by_distance) // 4 :][:1],
        *by_distance[1:],
    ]
    return list(dict.fromkeys(int(goal) for goal in candidates))[:count]


def videos_section(results: Sequence[RunResults], goals: Sequence[NamedGoal], log: Callable[[str], object]) -> str:
    """
    Record each run's agent on one episode for each goal.

    :param results: results of the runs
    :param goals: the goals
    :param log: function that receives progress messages
    :return: markup; empty without goals or if the environment cannot be rendered
    """
    rollouts = {}
    for result in results:
        environment, evaluation = result.run.config.find_environment(), result.run.config.settings.evaluation
        if "rgb_array" not in environment.make().metadata.get("render_modes", []) or not goals:
            return ""
        agent = load_agent(result.run, result.seeds[0])
        rollouts[result.label] = make_rollout(agent, environment.make("rgb_array"), epsilon=evaluation.epsilon)
    figures = []
    for goal in goals:
        for result in results:
            log(f"Recording {result.label}, goal {goal.name} ...")
            max_steps = min(result.run.config.settings.evaluation.max_steps or _MAX_STEPS, _MAX_STEPS)
            title = f"<b>{text(result.label)}</b>" if len(results) > 1 else ""
            try:
                figures.append(_video_figure(rollouts[result.label], goal, max_steps, title))
            except OSError as error:  # the rest of the report needs no rendering
                log(f"No videos: {error}")
                return ""
    note = "One episode each, with the epsilon of the evaluations."
    return card("Videos", element("div", "".join(figures), class_="maps"), note=note, id_="videos")


def _video_figure(rollout: AgentRollout, goal: NamedGoal, max_steps: int, title: str) -> str:
    rollout.reset(0)
    frames = record_frames(rollout, [goal], max_steps=max_steps, fps=_FPS, width=_WIDTH)
    stride = -(-len(frames) // _MAX_FRAMES)
    # The last frame always stays, as it shows the outcome.
    source = data_uri("image/webp", encode_video([*frames[::stride], frames[-1]], "webp", _FPS))
    parts = [*([title] if title else []), *([f"{stride}x speed"] if stride > 1 else [])]
    caption = f"<figcaption>{', '.join(parts)}</figcaption>" if parts else ""
    return f'<figure><img src="{source}" alt="{text(f"video of goal {goal.name}")}" width="{_WIDTH}">{caption}</figure>'


def programs_section(results: Sequence[RunResults], programs: Sequence[NamedGoal]) -> str:
    """
    Run each run's agent on programs, and draw their automata next to its paths.

    :param results: results of the runs
    :param programs: the programs
    :return: markup; empty without programs
    """
    if not programs:
        return ""
    figures = []
    for result in results:
        config, content = result.run.config, io.BytesIO()
        runs = record_programs(config, load_agent(result.run, result.seeds[0]), programs, SEED)
        plot_programs(runs).savefig(content, format="png", dpi=110)
        image = element("img", src=data_uri("image/png", content.getvalue()), alt="automata of programs and paths", width=900)
        caption = element("figcaption", f"<b>{text(result.label)}</b>") if len(results) > 1 else ""
        figures.append(element("figure", image + caption, class_="wide"))
    note = "One episode each: the states of the program, and the path of the agent in the colors of these states."
    return card("Programs", element("div", "".join(figures), class_="maps"), note=note, id_="programs")


def maps_section(results: Sequence[RunResults], goals: Sequence[int]) -> str:
    """
    Draw maps of the success rate and of the expected steps: to all goals from the start, and to some goals from elsewhere.

    :param results: results of the runs
    :param goals: indices of the latter goals in the reports
    :return: markup; empty if goals have no positions
    """
    figures, notes = [], dict[str, None]()
    for result in results:
        env = result.run.config.find_environment().make()
        located = locate_goals(result.report, env, result.run.config.goal_points)
        if located is None:
            return ""
        report, positions = located
        suffix = f", {text(result.label)}" if len(results) > 1 else ""
        class_ = "wide" if len(positions.layers()) > 1 else None
        for drawn in [_success_map(report, positions), *_value_maps(result, report, env, positions, goals)]:
            notes[drawn.note] = None
            caption = element("figcaption", f"<b>{text(drawn.title)}</b>{suffix}")
            figures.append(element("figure", drawn.markup + caption, class_=class_))
    note = f"{'; '.join(notes)}. Hover over a goal for its name."
    legends = ramp_legend("0 % success, or far", "100 %, or near")
    return card("Maps", element("div", "".join(figures), class_="maps"), legends, note=note, id_="maps")


@dataclass(frozen=True)
class _Map:
    """A map with its title, and a note that is shown once for all maps of its kind."""

    markup: str
    title: str
    note: str


def _success_map(report: GoalReport, positions: GoalPositions) -> _Map:
    titles = [
        f"{name}: {100 * rate:.0f} % of {tried} attempts" if tried else f"{name}: achieved at the reset"
        for name, rate, tried in zip(report.goal_names, report.success_rate.tolist(), report.attempts.tolist(), strict=True)
    ]
    markup = goal_map(positions, report.success_rate, titles, "Success at every goal")
    layers = ", in layers from the lowest to the highest" if len(positions.layers()) > 1 else ""
    return _Map(markup, "success", f"Final success rate{layers}")


def _value_maps(
    result: RunResults, report: GoalReport, env: gym.Env[Any, Any], positions: GoalPositions, goals: Sequence[int]
) -> Iterator[_Map]:
    """Draw the expected steps according to the agent's values; nothing for an agent without values of all goals."""
    points = result.run.config.goal_points
    agent = load_agent(result.run, result.seeds[0])
    observation, info = env.reset(seed=0)
    values = goal_values(agent, observation, points)
    if values is None or not 0.0 < agent.gamma < 1.0:  # values without discount have no number of steps
        return
    cross = _start_position(observation, info, report, positions)
    title = "every goal, from the start"
    steps = expected_steps(values[report.goal_ids], agent.gamma)
    markup = goal_map(positions, _nearness(steps), _tooltips(report, steps), f"Expected steps: {title}", cross=cross)
    yield _Map(markup, title, "expected steps to every goal from the start of an episode (cross)")
    states = probe_states(agent, env, result.run.config.settings.evaluation.epsilon, points)
    if states is None:
        return
    for goal in goals:
        name, goal_id = report.goal_names[goal], int(report.goal_ids[goal])
        values = state_values(agent, states.observations, goal_id if points is None else points[goal_id])
        if values is None:
            return
        description = f"Expected steps to {name}"
        if states.positions is not None:
            nearness = _nearness(expected_steps(values, agent.gamma))
            markup = state_map(positions, states.positions, nearness, f"{description} from visited states", goal)
            yield _Map(markup, name, "expected steps to one goal (ring) from states that the agent visited")
        else:
            steps = expected_steps(values[report.goal_ids], agent.gamma)
            markup = goal_map(positions, _nearness(steps), _tooltips(report, steps), description, ring=goal)
            yield _Map(markup, name, "expected steps to one goal (ring) from every cell")


def _start_position(observation: Any, info: dict[str, Any], report: GoalReport, positions: GoalPositions) -> FloatArray | None:
    """Find the position of the initial state: its ``achieved_goal``, or that of the only goal achieved there."""
    size = 2 if positions.heights is None else 3
    if isinstance(observation, dict) and "achieved_goal" in observation:
        point = np.asarray(observation["achieved_goal"], dtype=np.float64)
        return point[:size] if len(point) >= size else None
    goals = np.flatnonzero(info[MASK_KEY][report.goal_ids])
    return positions.positions[goals[0]] if len(goals) == 1 else None


def _nearness(steps: FloatArray) -> FloatArray:
    """Scale expected steps from 1 (achieved) to 0 (beyond most of the goals that can be reached)."""
    finite = steps[np.isfinite(steps)]
    farthest = max(1.3 * float(np.percentile(finite, 90)) if len(finite) else 1.0, 2.0)
    return 1.0 - np.clip(steps, 0.0, farthest) / farthest


def _tooltips(report: GoalReport, steps: FloatArray) -> list[str]:
    return [
        f"{name}: {'unreachable' if step > _MAX_EXPECTED_STEPS else f'{step:.0f} expected steps'}"
        for name, step in zip(report.goal_names, steps.tolist(), strict=True)
    ]
