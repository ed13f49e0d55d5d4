"""Recorded episodes of programs and their figures."""

import importlib
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from matplotlib.patches import Circle
from PIL import Image

import leo_envs
from leo_agents.programs import evaluate_programs, plot_programs, run_program
from leo_wrappers.programs import compile_program
from tests.line_env import make_line

gym.register_envs(leo_envs)

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MAP = ["S..", ".#.", "..."]
PROGRAM = "cell/0,2 plus cell/2,0 then cell/2,2 avoiding cell/0,1"


@pytest.fixture
def agent(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gridworld_programs").ExactAgent(gym.make("leo/GridWorld-v0", map=MAP).unwrapped)


def run(agent, program=PROGRAM, **kwargs):
    env = gym.make("leo/GridWorld-v0", map=MAP)
    return run_program(agent, env, program, 0, goal_observations=env.unwrapped.all_observations(), **kwargs)


def texts(axes):
    return {text.get_text() for text in axes.texts} - {""}


def test_recorded_states_are_those_of_the_masks(agent):
    result = run(agent)
    assert result.masks[0].tolist() == [True] + [False] * 7, "the mask of the reset"
    state = 0
    for step in range(result.num_steps):
        state = int(result.automaton.step(state, result.masks[step + 1]))
        assert result.states[step + 1] == state
    assert result.completed and not result.violated and result.num_steps == 2 + 4 + 2
    env = gym.make("leo/GridWorld-v0", map=MAP)
    options = {"goal_observations": env.unwrapped.all_observations()}
    assert evaluate_programs(agent, env, [PROGRAM], **options)[0].steps == (result.num_steps,)
    assert result.positions[3].tolist() == [0.0, 1.0] and result.axes == ("column", "row")
    late = run(agent, max_steps=3)
    assert late.num_steps == 3 and not late.completed and not late.violated


def test_figure_of_an_automaton_and_a_path(agent, tmp_path):
    result = run(agent)
    figure = plot_programs([result, run(agent, "cell/0,1")], tmp_path / "programs.png")
    assert Image.open(tmp_path / "programs.png").width > 1_000
    left, right = figure.axes[:2]
    # The transition of both goals in one state is left out: one after the other leads to the same state.
    assert {"0", "1", "2", "3", "done", "failed", "cell/0,1", "cell/0,2", "cell/2,0", "cell/2,2"} == texts(left)
    assert "8 steps, complete" in left.get_title() and "of" not in left.get_title().rpartition("\n")[2]
    filled = {circle.get_facecolor() for circle in left.patches if isinstance(circle, Circle) and circle.get_fill()}
    assert len(filled) == len(set(result.states)) + 1, "a color for each visited state, and white"
    assert right.yaxis_inverted()
    stars, crosses = ([tuple(xy) for xy in line.get_xydata()] for line in right.lines if line.get_marker() in ("*", "X"))
    assert stars == [(2.0, 0.0), (0.0, 2.0), (2.0, 2.0)] and crosses == [(1.0, 0.0)]
    assert texts(figure.axes[2]) == {"0", "done", "cell/0,1"}, "a program that cannot be violated"


def test_large_automata_and_goals_without_positions(agent):
    names = [f"cell/{row},{column}" for row in range(3) for column in range(3) if (row, column) != (1, 1)]
    result = run(agent, " plus ".join(names[1:7]))
    assert result.automaton.num_states > 16
    assert (
        f"{len(set(result.states))} of {result.automaton.num_states - 1} states" in plot_programs([result]).axes[0].get_title()
    )

    class Right:
        goal_names, gamma, action_space = tuple(f"at/{n}" for n in range(5)), 0.9, gym.spaces.Discrete(2)

        def values(self, observation):
            return np.full((len(observation), 5), 0.5)

        def act(self, observation, goal):
            return 1

    line = run_program(Right(), make_line(), "at/2 then at/4", seed=0, max_steps=20)
    assert line.positions is None and line.completed
    axes = plot_programs([line]).axes[1]
    assert axes.get_xlabel() == "steps" and axes.lines[0].get_ydata().tolist() == [0, 0, 50, 50, 100]


def test_bad_arguments(agent, tmp_path):
    result = run(agent)
    for runs in (result, [], ["cell/0,1"], [compile_program(PROGRAM, agent.goal_names)]):
        with pytest.raises(TypeError, match="expected a list of results of run_program, got"):
            plot_programs(runs)
    with pytest.raises(ValueError, match="suffix"):
        plot_programs([result], tmp_path / "program.xyz")
    with pytest.raises(TypeError, match="path"):
        plot_programs([result], 3)
    with pytest.raises(ValueError, match="max_steps"):
        run(agent, max_steps=0)
    with pytest.raises(ValueError, match="column 1"):
        run(agent, "cell/9,9")
