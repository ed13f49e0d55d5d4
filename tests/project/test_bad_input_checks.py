"""Bad input to checkers and vectorized JAX environments; see ``test_bad_input``."""

from functools import partial
from typing import Any

import pytest

from leo_agents.baselines import goal_conditioned_venv
from leo_envs.gridworld import maze_map, random_map
from leo_wrappers import ContractChecker, LeastAchievedGoals, SeenGoals, check_multigoal_env, check_multigoal_vec_env
from leo_wrappers.testing import multigoal_env_tests, multigoal_state_machine, run_state_machine
from tests.line_env import LineEnv, make_line
from tests.project.test_bad_input import (
    ENV,
    FLAG,
    FRACTION,
    GOAL_SELECTOR,
    POSITIVE_INTEGER,
    SEED,
    Table,
    assert_rejected,
    cases,
    envs,
)

pytestmark = pytest.mark.timeout(60)

FUNCTION = (3, "f", [])
CHECK: dict[str, tuple[Any, ...]] = {"oracle": FUNCTION, "observation_determines_mask": FLAG}
RUN = {**CHECK, "seed": (-1, 1.5, "seed", []), "steps": POSITIVE_INTEGER, "env_fn": FUNCTION}
TESTS = {**CHECK, "env": (3, None), "reuse_env": FLAG}
MAP = {"size": (0, -1, 1.5, "big", [], [1], [0, 3], None, 10**6), "seed": (-1, 1.5, "seed")}
TABLES: Table = {
    check_multigoal_env: (
        {"env": make_line()},
        {**RUN, "env": (*ENV, LineEnv()), "skip_sb3_check": FLAG, "skip_gymnasium_check": FLAG},
    ),
    check_multigoal_vec_env: ({"venv": envs()}, {**RUN, "venv": (*ENV, make_line())}),
    ContractChecker: ({"env": make_line()}, {**CHECK, "env": (*ENV, LineEnv()), "record": FLAG}),
    multigoal_env_tests: ({"env": make_line}, {**TESTS, "steps": POSITIVE_INTEGER, "max_examples": POSITIVE_INTEGER}),
    multigoal_state_machine: ({"env": make_line}, TESTS),
    run_state_machine: (
        {"env": make_line},
        {**TESTS, "max_examples": POSITIVE_INTEGER, "stateful_step_count": POSITIVE_INTEGER},
    ),
    SeenGoals: ({}, {"seed": SEED}),
    LeastAchievedGoals: ({}, {"seed": SEED}),
    goal_conditioned_venv: ({"env": make_line()}, {"env": ENV, "goal_selector": GOAL_SELECTOR, "seed": SEED}),
    maze_map: ({"size": 5}, MAP),
    random_map: ({"size": 5}, {**MAP, "wall_density": FRACTION}),
}


@pytest.mark.parametrize(("function", "kwargs", "name", "values"), cases(TABLES))
def test_arguments(function, kwargs, name, values):
    for value in values:
        assert_rejected(partial(function, **{**kwargs, name: value}), f"{function.__name__}({name}={value!r})")
