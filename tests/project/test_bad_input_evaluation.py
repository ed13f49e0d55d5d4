"""Bad input to reports, figures, evaluations, goals and infos, and to Hypothesis strategies; see ``test_bad_input``."""

from functools import partial
from math import inf, nan
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from leo_agents import LEODQN, LEOSAC
from leo_agents.evaluation import (
    GoalDiagnosticsCallback,
    GoalEvalCallback,
    GoalReport,
    LearningCurve,
    compare_reports,
    evaluate_goals,
    evaluate_random_goals,
    plot_comparison,
    plot_learning_curve,
    plot_report,
    read_curve,
    wilson_interval,
)
from leo_agents.evaluation.curves import CURVE_COLUMNS
from leo_agents.evaluation.goal_report import CSV_COLUMNS
from leo_wrappers import AnyGoalWrapper, FixedGoal, GoalSelector, InfoList, achieved_from_infos, goal_families, goal_index
from leo_wrappers.sb3 import step_arrays, step_tensors
from leo_wrappers.testing import action_sequences, from_space, goal_names, goal_sets, masks
from tests.agents.plane_point import PlanePoint
from tests.line_env import LineEnv, make_line
from tests.project.test_bad_input import (
    ENV,
    FLAG,
    GOAL,
    NAMES,
    POSITIVE_INTEGER,
    SEED,
    Table,
    assert_rejected,
    cases,
    envs,
    trained,
)

pytestmark = pytest.mark.timeout(60)

REPORT = {
    "goal_names": ("a/0", "a/1", "b"),
    "goal_ids": [0, 1, 2],
    "attempts": [2, 2, 0],
    "already_true": [0, 0, 1],
    "steps": ([3, 5], [4], []),
}
COUNTS = (None, 3, "abc", [], [2], [2, 2, -1], [2, 2, nan], [2, 2, inf], [2, 2, 0.5], [2, 2, "x"], [[2, 2, 0]], [2, 2, 10**30])
OPTIONAL_COUNT = tuple(value for value in POSITIVE_INTEGER if value is not None)
CONFIDENCE = (0.0, 1.0, -0.1, 1.1, nan, True, "high", None, [])
RATE = (-0.1, 1.1, nan, "high", None, [])
PATH = (3, True, 1.5, [], {}, b"bytes")
MASK = np.array([[True, False], [False, False]])
INFOS = [{"goals_achieved": row} for row in MASK]
SELECTION = (3, "a/0", [], [99], [-1], [1.5], ["nowhere"], [0, 0], np.ones(2, bool), object())


def report(**kwargs: Any) -> GoalReport:
    return GoalReport(**{**REPORT, **kwargs})


def other_report() -> GoalReport:
    return GoalReport(("c",), [0], attempts=[1], already_true=[0], steps=([],))


REPORTS = (None, 3, "abc", [], {}, [report()], {"a": 3}, {"a": report(), "b": other_report()}, {3: report()})

EVALUATION: Table = {
    GoalReport: (
        REPORT,
        {
            "goal_names": (*NAMES, ["a", "b"], None),
            "goal_ids": (*COUNTS, [0, 0, 1]),
            "attempts": (*COUNTS, [1, 2, 0]),
            "already_true": COUNTS,
            "steps": (
                None,
                3,
                "abc",
                [],
                ([3], [4]),
                *(([3, 5], [4], last) for last in (["x"], [-1], [0], [1.5], [nan], [[1]], 3)),
            ),
            "positions": (3, "abc", [], [[0.0, 0.0]], [[0.0]] * 3, [[nan, 0.0]] * 3, [[inf, 0.0]] * 3, [["x", "y"]] * 3),
            "axes": (None, 3, "xy", [], ["x"], ("x", 1), ("x", "x"), ("x", "")),
        },
    ),
    wilson_interval: (
        {"successes": 1, "attempts": 10},
        {
            "successes": (-1, 11, nan, inf, "many", None, {}, ["x"]),
            "attempts": (0, -1, nan, inf, "many", None, {}, ["x"]),
            "confidence": CONFIDENCE,
        },
    ),
    LearningCurve: (
        {"timesteps": [10, 20], "success_rate": [[0.0, nan], [1.0, 0.5]]},
        {
            "timesteps": (None, 3, "abc", [], [10], [10, nan], [10, 1.5], [-1, 10], [20, 10], [[10, 20]]),
            "success_rate": (
                None,
                3,
                "abc",
                [],
                [0.5, 0.5],
                [[0.5]],
                [[0.5], [1.1]],
                [[0.5], [-0.1]],
                [[inf], [0.5]],
                [[], []],
            ),
        },
    ),
    compare_reports: ({"reports": {"a": report()}}, {"reports": REPORTS}),
    plot_report: (
        {"report": report()},
        {"report": (None, 3, "abc", {}, REPORT), "path": (*PATH, "figure.nonsense"), "title": (3, [])},
    ),
    plot_comparison: (
        {"reports": {"a": report()}},
        {"reports": REPORTS, "path": (*PATH, "figure.nonsense"), "title": (3, [])},
    ),
    plot_learning_curve: ({"csv_path": "never-read.csv"}, {"csv_path": (None, *PATH, {"a": 3}, {3: "a.csv"})}),
    read_curve: ({}, {"path": (None, *PATH)}),
    evaluate_random_goals: (
        {"model": None, "env": PlanePoint()},
        {
            "model": (None, 3, "model", LEODQN),
            "env": (*ENV, LineEnv(), make_line()),
            "n_eval_episodes": POSITIVE_INTEGER,
            "episodes_per_goal": POSITIVE_INTEGER,
            "seed": SEED,
            "goals": (
                3,
                "abc",
                [],
                [0.0, 0.0],
                [[0.0]],
                [[0.0] * 3],
                [[nan, 0.0]],
                [[inf, 0.0]],
                [["x", "y"]],
                [[0.0, 0.0], [0.0]],
            ),
            "deterministic": FLAG,
            "max_steps": OPTIONAL_COUNT,
            "epsilon": (*RATE, 1.0),
            "progress_bar": FLAG,
        },
    ),
    evaluate_goals: (
        {"model": None, "env": make_line()},
        {"model": (None, 3, "model", LEODQN), "deterministic": FLAG, "progress_bar": FLAG},
    ),
    GoalDiagnosticsCallback: ({}, {"verbose": (-1, 3, 1.5, "loud", None)}),
    GoalEvalCallback: (
        {"eval_env": make_line()},
        {
            "eval_env": (*ENV, LineEnv()),
            "deterministic": FLAG,
            "progress_bar": FLAG,
            "max_steps": OPTIONAL_COUNT,
            "learned_threshold": RATE,
            "csv_path": PATH,
            "best_model_save_path": PATH,
            "callback_on_new_best": (3, len),
            "callback_after_eval": (3, len),
            "verbose": (-1, 3, 1.5, "loud", None),
        },
    ),
}


def fixed_goal(goal: Any) -> GoalSelector:
    return FixedGoal(goal).bind(["at/0", "at/1"])


GOALS: Table = {
    goal_families: ({}, {"goal_names": (*NAMES, None, object())}),
    goal_index: (
        {"goal_names": ("at/0",), "goal": "at/0"},
        {"goal_names": (3, None, "at/0", {"at/0": 0}, iter(["at/0"]), object())},
    ),
    fixed_goal: ({}, {"goal": GOAL}),
    achieved_from_infos: (
        {"infos": INFOS, "num_envs": 2},
        {
            "infos": (
                *(
                    None,
                    3,
                    "ab",
                    [],
                    {},
                    INFOS[:1],
                    [{}, {}],
                    [3, 3],
                    [None, None],
                    [INFOS[0], {"goals_achieved": np.ones(3, bool)}],
                ),
                *({"goals_achieved": mask} for mask in (None, 3, MASK[0], MASK[:1], MASK.astype(float), MASK.tolist())),
                *([{"goals_achieved": mask}] * 2 for mask in (None, 3, MASK, [True, False], np.ones(2))),
                *({"goals_achieved": MASK, "_final_info": rows} for rows in (3, "ab", np.ones(2, bool), np.ones(3, bool))),
            ),
            "num_envs": (*POSITIVE_INTEGER, 3),
        },
    ),
    InfoList: (
        {"infos": INFOS, "goals_achieved": MASK},
        {
            "infos": (None, 3, INFOS[:1], iter(INFOS)),
            "goals_achieved": (None, 3, "ab", MASK[0], MASK[:1], MASK.astype(float), MASK.tolist()),
        },
    ),
    AnyGoalWrapper: ({}, {"env": (*ENV, LineEnv(), make_line(), DummyVecEnv([PlanePoint]))}),
    step_arrays: (
        {"venv": envs(), "actions": [0, 1]},
        {"venv": (*ENV, make_line(), envs().vector_env), "actions": (None, 3, "ab", [], [0], [0, 1, 1])},
    ),
    step_tensors: (
        {"venv": envs(), "actions": th.zeros(2, dtype=th.int64)},
        {"venv": (*ENV, make_line(), envs().vector_env), "actions": (None, 3, "ab", [0, 1], th.zeros(3, dtype=th.int64))},
    ),
}


def strategy(space: Any) -> Any:
    return from_space(space)  # singledispatch takes it by position


SIZE = (-1, 1.5, nan, "many", None, [], True)
STRATEGIES: Table = {
    strategy: ({}, {"space": (None, 3, "space", [], {}, LineEnv())}),
    action_sequences: (
        {"env_or_space": spaces.Discrete(2)},
        {"env_or_space": (None, 3, "env", []), "max_size": SIZE, "min_size": (*SIZE, 51)},
    ),
    masks: ({"num_goals": 3}, {"num_goals": (0, *SIZE), "batch_shape": (3, "ab", None, (-1,), (1.5,), (nan,))}),
    goal_names: ({}, {"min_size": (0, *SIZE, 9), "max_size": (0, *SIZE)}),
    goal_sets: ({}, {"dimensions": (0, *SIZE), "max_goals": (0, *SIZE)}),
}


def point_model() -> LEOSAC:
    return LEOSAC("MultiGoalPolicy", PlanePoint(), buffer_size=1_000, seed=0)


def complete(function: Any, kwargs: dict[str, Any], name: str) -> dict[str, Any]:
    """Add a model to the arguments of an evaluation."""
    if name == "model" or function not in (evaluate_goals, evaluate_random_goals):
        return kwargs
    return {**kwargs, "model": trained(LEODQN) if function is evaluate_goals else point_model()}


@pytest.mark.parametrize(("function", "kwargs", "name", "values"), cases(EVALUATION, GOALS, STRATEGIES))
def test_arguments(function, kwargs, name, values):
    kwargs = complete(function, kwargs, name)
    for value in values:
        assert_rejected(partial(function, **{**kwargs, name: value}), f"{function.__name__}({name}={value!r})")


def test_methods_of_reports(tmp_path):
    for name, values in {
        "interval": CONFIDENCE,
        "mean_interval": CONFIDENCE,
        "num_learned": RATE,
        "subset": SELECTION,
        "worst": POSITIVE_INTEGER,
        "to_csv": (None, *PATH),
        "from_csv": (None, *PATH),
    }.items():
        for value in values:
            assert_rejected(partial(getattr(report(), name), value), f"{name}({value!r})")
    for value in RATE:
        assert_rejected(partial(LearningCurve([1], [[0.5]]).num_learned, value), f"num_learned({value!r})")
    never_attempted = report().subset(["b"])
    assert_rejected(never_attempted.worst, "worst without attempts")


DAMAGE = (b"", b"\xff\xfe\x00", b"a,b\n1,2\n", b"\x00" * 100, b'"' + b"x" * 200_000)


@pytest.mark.parametrize("cell", ["x", "1.5", "", "-1", "9" * 30, "nan"])
def test_tables_with_other_cells(tmp_path, cell):
    path = tmp_path / "report.csv"
    report(positions=[[0, 0], [0, 1], [1, 0]]).to_csv(path)
    header, first, *others = path.read_text().splitlines()
    for column in ("goal_id", "attempts", "already_true", "steps", "x"):
        cells = first.split(",")
        cells[header.split(",").index(column)] = cell
        if (column, cell) in (("steps", ""), ("x", "1.5"), ("x", "-1"), ("x", "9" * 30)):
            continue  # a valid table
        path.write_text("\n".join([header, ",".join(cells), *others]))
        assert_rejected(partial(GoalReport.from_csv, path), f"{column}={cell}")


@pytest.mark.parametrize("content", DAMAGE)
def test_damaged_tables(tmp_path, content):
    path = tmp_path / "table.csv"
    for read, header in ((GoalReport.from_csv, ",".join(CSV_COLUMNS)), (read_curve, ",".join(CURVE_COLUMNS))):
        for start in (b"", f"{header}\n".encode()):
            path.write_bytes(start + content)
            assert_rejected(partial(read, path), f"{read.__name__}({start + content[:20]!r})")


def test_curves_with_other_cells(tmp_path):
    path = tmp_path / "curve.csv"
    for numbers in ("x,0,1,1", "1,x,1,1", "1,0,1,2", "1,0,1,-1", "-1,0,1,1", f"{10**30},0,1,1"):
        step, goal, attempts, successes = numbers.split(",")
        cells = f"{step},{goal},a,a,{attempts},{successes},0,"
        path.write_text(",".join(CURVE_COLUMNS) + f"\n{cells}\n")
        assert_rejected(partial(read_curve, path), cells)


def test_goals_of_the_callback():
    for goals in SELECTION:
        callback = GoalEvalCallback(make_line(), goals=goals)
        assert_rejected(partial(trained(LEODQN).learn, 1, callback), f"goals={goals!r}")


def test_models_for_other_observations():
    line, points = trained(LEODQN), point_model()
    assert_rejected(partial(evaluate_random_goals, line, PlanePoint()), "a model of a finite goal set")
    assert_rejected(partial(evaluate_goals, points, make_line()), "a model of points")
