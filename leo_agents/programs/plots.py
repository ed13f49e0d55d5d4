"""Figures of a program's automaton next to the agent's path."""

import textwrap
from collections.abc import Sequence
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from leo_agents.evaluation.plot_style import GRAY, PALE, PathLike, new_figure, run_color, saved, tidy
from leo_agents.programs.evaluate import ProgramRun
from leo_wrappers.programs import ProgramAutomaton
from leo_wrappers.validation import check_path, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]

_MAX_STATES = 16
_MAX_LINES = 2
_RADIUS = 0.17
_SMALLEST = (2.1, 1.2)
_VIOLATION = "#D55E00"


def plot_programs(runs: Sequence[ProgramRun], path: PathLike | None = None) -> "Figure":
    """
    Plot the automaton of each program, and next to it the agent's path; both have the color of the program's state.

    The path is a map if the goals have 2D positions: stars are goals that lead on from a state that was visited, crosses are
    those that violate the program. Without positions, it is the state of the program over time. Of automata with many
    states, those that were visited and the two ends are drawn. Transitions of several goals in one state are left out if these
    goals lead to the same state one after the other.

    :param runs: results of :func:`~leo_agents.programs.run_program`
    :param path: file to save the figure to; the suffix selects the format

    Example::

        >>> import gymnasium as gym, leo_envs
        >>> from leo_agents import LEODQN
        >>> from leo_agents.programs import run_program
        >>> env = gym.make("leo/GridWorld-v0", map="S..")
        >>> run = run_program(LEODQN("MultiGoalPolicy", env, seed=0), env, "cell/0,2 then cell/0,0", seed=0, max_steps=9)
        >>> figure = plot_programs([run])
    """
    if isinstance(runs, ProgramRun) or not len(runs) or not all(isinstance(run, ProgramRun) for run in runs):
        raise TypeError(f"expected a list of results of run_program, got {shorten(runs)}; pass [run]")
    if path is not None:
        check_path("path", path)
    figure = new_figure(11.0, 4.2 * len(runs))
    for run, (left, right) in zip(runs, figure.subplots(len(runs), 2, squeeze=False, width_ratios=[1.35, 1]), strict=True):
        colors = {state: run_color(number) for number, state in enumerate(dict.fromkeys(run.states))}
        _draw_automaton(left, run, colors)
        if run.positions is None:
            _draw_states(right, run, colors)
        else:
            _draw_path(right, run, run.positions, colors)
    return saved(figure, path)


def _draw_automaton(axes: "Axes", run: ProgramRun, colors: dict[int, str]) -> None:
    """Draw states from left to right, and the goals of the transitions between them."""
    automaton = run.automaton
    shown = set(range(automaton.num_states))
    if len(shown) > _MAX_STATES:
        shown = {*run.states, automaton.accepted, automaton.violated}
    following = {state: _following(automaton, state) & shown for state in shown}
    violating = {state for state in shown if automaton.violated in following[state]}
    if not violating:
        shown -= {automaton.violated}
    places = _places(automaton, following)
    for state in shown:
        for after in following[state]:
            label = "" if after == automaton.violated else _label(automaton, {state}, after)
            _draw_arrow(axes, places[state], places[after], label, after == automaton.violated)
        _draw_state(axes, automaton, state, places[state], colors)
    if violating:
        below = places[automaton.violated] - [0.0, 1.6 * _RADIUS]
        axes.text(
            below[0],
            below[1],
            _label(automaton, violating, automaton.violated),
            fontsize=7.5,
            color=_VIOLATION,
            ha="center",
            va="top",
        )
    outcome = f"{run.num_steps} steps, {'complete' if run.completed else 'violated' if run.violated else 'out of time'}"
    total = automaton.num_states if violating else automaton.num_states - 1
    hidden = f", {len(shown)} of {total} states" if len(shown) < total else ""
    axes.set_title(f"{textwrap.fill(automaton.program, 70, max_lines=3)}\n{outcome}{hidden}", fontsize=9.5)
    corners = np.array([places[state] for state in shown])
    middle, half = (corners.min(axis=0) + corners.max(axis=0)) / 2, np.ptp(corners, axis=0) / 2 + 0.5
    half = np.maximum(half, _SMALLEST)  # circles of the same size in small automata
    axes.set(xlim=middle[0] + [-half[0], half[0]], ylim=middle[1] + [-half[1], half[1]], aspect="equal")
    axes.axis("off")


def _following(automaton: ProgramAutomaton, state: int) -> set[int]:
    """Return the next states, without those of several goals at once that are also reached one goal after the other."""
    ways = automaton.transitions[state]
    single = {after for holding, after in ways if len(holding) < 2}
    later, queue = set(single), list(single)
    for between in queue:
        new = {after for holding, after in automaton.transitions[between] if len(holding) < 2} - later
        later |= new
        queue += sorted(new)
    return single | {after for _, after in ways if after not in later}


def _places(automaton: ProgramAutomaton, following: dict[int, set[int]]) -> dict[int, FloatArray]:
    """Place states in columns by the longest way to them; the violated one is below the others."""
    columns: dict[int, int] = {}
    for state in reversed(list(TopologicalSorter(following).static_order())):
        before = [columns[other] for other in columns if state in following[other]]
        columns[state] = max(before, default=-1) + 1
    columns[automaton.accepted] = 1 + max(column for state, column in columns.items() if state < automaton.accepted)
    places: dict[int, FloatArray] = {}
    for column in range(columns[automaton.accepted] + 1):
        states = sorted(state for state in columns if columns[state] == column and state != automaton.violated)
        for row, state in enumerate(states):
            # Odd columns are a little lower: arrows that skip a column pass above its states.
            height = (len(states) - 1) / 2 - row - 0.25 * (column % 2)
            places[state] = np.array([1.3 * column, height])
    corners = np.array(list(places.values()))
    places[automaton.violated] = np.array([corners[:, 0].mean(), corners[:, 1].min() - 1.0])
    return places


def _draw_state(axes: "Axes", automaton: ProgramAutomaton, state: int, place: FloatArray, colors: dict[int, str]) -> None:
    from matplotlib.patches import Circle

    visited, ends = state in colors, {automaton.accepted: "done", automaton.violated: "failed"}
    color = colors.get(state, "white")
    axes.add_patch(Circle(tuple(place), _RADIUS, facecolor=color, edgecolor=GRAY, linewidth=1.0, zorder=3))
    if state == automaton.accepted:
        axes.add_patch(Circle(tuple(place), 1.2 * _RADIUS, fill=False, edgecolor=GRAY, linewidth=0.9, zorder=3))
    style: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 4, "color": "white" if visited else GRAY}
    axes.text(place[0], place[1], ends.get(state, str(state)), fontsize=7 if state in ends else 9, **style)


def _draw_arrow(axes: "Axes", start: FloatArray, end: FloatArray, label: str, violates: bool) -> None:
    from matplotlib.patches import FancyArrowPatch

    color, distance = _VIOLATION if violates else GRAY, float(np.linalg.norm(end - start))
    bend = 0.1 if distance < 1.8 else 0.25
    style: dict[str, Any] = {
        "arrowstyle": "-|>",
        "mutation_scale": 10,
        "color": color,
        "linewidth": 0.9,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    style |= {"linestyle": ":"} if violates else {}
    # In units of the data, so that arrows end at the circles whatever the size of the figure.
    direction = (end - start) / distance
    ends = (tuple(start + 1.1 * _RADIUS * direction), tuple(end - 1.25 * _RADIUS * direction))
    axes.add_patch(FancyArrowPatch(*ends, connectionstyle=f"arc3,rad={-bend}", **style))
    # The middle of a quadratic curve is half as far from the line as its control point.
    middle = (start + end) / 2 + 0.5 * bend * distance * np.array([-direction[1], direction[0]])
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8}
    axes.text(
        middle[0], middle[1], label, fontsize=7.5, color=color, ha="center", va="center", bbox=box if label else None, zorder=2
    )


def _label(automaton: ProgramAutomaton, states: set[int], following: int) -> str:
    """Describe the transitions to a state, a line each."""
    ways = dict.fromkeys(
        holding for state in sorted(states) for holding, after in automaton.transitions[state] if after == following
    )
    lines = list(dict.fromkeys(" and ".join(_input_name(automaton, n) for n in sorted(way)) or "any state" for way in ways))
    more = [f"or {len(lines) - _MAX_LINES} more"] if len(lines) > _MAX_LINES else []
    return "\n".join([*(textwrap.fill(line, 18, max_lines=3) for line in lines[:_MAX_LINES]), *more])


def _input_name(automaton: ProgramAutomaton, number: int) -> str:
    names = [automaton.goal_names[goal] for goal in automaton.inputs[number].tolist()]
    return " or ".join(names) if len(names) <= _MAX_LINES else f"{names[0]} or {len(names) - 1} more"


def _draw_path(axes: "Axes", run: ProgramRun, positions: FloatArray, colors: dict[int, str]) -> None:
    """Draw the positions of the goals that each step achieved; a little shift shows what is passed twice."""
    axes.scatter(positions[:, 0], positions[:, 1], s=10, color=PALE, marker="s", linewidths=0)
    path = np.array([positions[mask].mean(axis=0) if mask.any() else [np.nan, np.nan] for mask in run.masks])
    path += np.linspace(-0.2, 0.2, len(path))[:, None] * _spacing(positions)
    for step in range(run.num_steps):
        axes.plot(*path[step : step + 2].T, color=colors[run.states[step]], linewidth=2.0, solid_capstyle="round")
    axes.plot(*path[0], "o", color=colors[run.states[0]], markersize=7)
    running = np.unique([state for state in run.states if state < run.automaton.accepted])
    after = run.automaton.after_goal[running]
    wrong = (after == run.automaton.violated).any(axis=0)
    right = (after != running[:, None]).any(axis=0) & ~wrong
    for chosen, marker, color in ((right, "*", "#009E73"), (wrong, "X", _VIOLATION)):
        axes.plot(*positions[chosen].T, linestyle="none", marker=marker, color=color, markersize=11, markeredgecolor="white")
    axes.set(xlabel=run.axes[0], ylabel=run.axes[1], aspect="equal")
    if run.axes[1] == "row":
        axes.invert_yaxis()
    axes.tick_params(labelsize=8, colors=GRAY)
    axes.spines[:].set_color(PALE)


def _spacing(positions: FloatArray) -> float:
    """Return the smallest distance between two coordinates of goals."""
    gaps = np.concatenate([np.diff(np.unique(np.round(column, 9))) for column in positions.T])
    return float(gaps.min(initial=1.0))


def _draw_states(axes: "Axes", run: ProgramRun, colors: dict[int, str]) -> None:
    """Draw how much of the program is done after each step."""
    done = run.automaton.progress[list(run.states)]
    axes.step(range(len(done)), 100 * done, where="post", color=GRAY, linewidth=0.9)
    axes.scatter(range(len(done)), 100 * done, c=[colors[state] for state in run.states], s=16, zorder=3)
    axes.set(xlabel="steps", ylabel="done, %", ylim=(-4, 104))
    tidy(axes, grid="y")
