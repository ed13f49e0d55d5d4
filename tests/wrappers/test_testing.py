import functools
import subprocess
import sys
import unittest

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

import leo_wrappers.testing
from leo_wrappers import ContractError, GoalConditionedWrapper, GridGoals, PointGoals, PredicateGoals
from leo_wrappers.testing import (
    action_sequences,
    from_space,
    goal_names,
    goal_sets,
    masks,
    multigoal_env_tests,
    multigoal_state_machine,
    run_state_machine,
)
from tests.corridor_env import CorridorEnv

pytest_plugins = "pytester"
quick = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))

# ------------------------------------------------------------------------------------------------------------- strategies

inf = np.inf
BOXES = [
    *(spaces.Box(-1, 1, (2,), dtype) for dtype in (np.float16, np.float32, np.float64, np.longdouble)),
    *(spaces.Box(0, 100, (2, 2), dtype) for dtype in (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint64)),
    spaces.Box(-inf, inf, (3,), np.float32),
    spaces.Box(-inf, inf, (), np.float64),
    spaces.Box(np.array([-inf, 5e5, -1.0]), np.array([-5e5, inf, 1.0]), dtype=np.float64),
    spaces.Box(-inf, inf, (2,), np.float16),
    spaces.Box(60_000, inf, (2,), np.float16),
    spaces.Box(-inf, 3, (2,), np.int32),
    spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max - 1, (2,), np.int64),
    spaces.Box(0, 1, (3,), bool),
    spaces.Box(np.array([False, True]), np.array([True, True]), dtype=np.bool_),
    spaces.Box(np.zeros((0,)), np.zeros((0,)), dtype=np.float32),
    spaces.Box(0, 255, (12, 12, 3), np.uint8),
    spaces.Box(-np.arange(100, dtype=np.float32), np.arange(100, dtype=np.float32)),
    spaces.Box(np.full(100, -inf), np.arange(100.0), dtype=np.float64),
    spaces.Box(np.arange(-50, 50), np.full(100, np.iinfo(np.int64).max - 1), dtype=np.int64),
    spaces.Box(np.full(100, np.finfo(np.float32).min), np.linspace(1, 3e38, 100, dtype=np.float32)),
]
DISCRETE = [
    spaces.Discrete(3),
    spaces.Discrete(4, start=-2),
    spaces.Discrete(1),
    spaces.MultiBinary(4),
    spaces.MultiBinary((2, 3)),
    spaces.MultiDiscrete([2, 5]),
    spaces.MultiDiscrete([[2, 1], [3, 4]], start=[[-1, 0], [7, -9]]),
    spaces.MultiDiscrete([3, 3], dtype=np.int8, start=[-128, 125]),
    spaces.Text(4),
    spaces.Text(3, min_length=0, charset="ab"),
]
inner = spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Box(-1, 1, (2,))})
COMPOSITE = [
    inner,
    spaces.Dict({"inner": inner, "t": spaces.Text(2)}),
    spaces.Tuple((spaces.Discrete(2), inner)),
    spaces.Sequence(spaces.Box(0, 1, (2,))),
    spaces.Sequence(inner),
    spaces.Sequence(spaces.Box(0, 1, (2,)), stack=True),
    spaces.Sequence(spaces.Discrete(3), stack=True),
    spaces.Sequence(inner, stack=True),
    spaces.Graph(spaces.Box(-1, 1, (3,)), spaces.Discrete(5)),
    spaces.Graph(spaces.Discrete(4), None),
    spaces.Graph(spaces.Box(-1, 1, (2,)), spaces.Box(0, 1, (1,))),
    spaces.OneOf((spaces.Discrete(2), spaces.Box(-1, 1, (2,)))),
]


def structure(value):
    """The types in a value, all the way down."""
    if isinstance(value, dict):
        return {key: structure(part) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value), type(value.nodes)
    if isinstance(value, tuple):
        return tuple, {structure(part) if not isinstance(part, dict) else tuple(part) for part in value}
    return type(value), getattr(value, "dtype", None)


@pytest.mark.parametrize("space", [*BOXES, *DISCRETE, *COMPOSITE], ids=str)
@quick
@given(data=st.data())
def test_samples_lie_in_their_space_and_have_its_types(space, data):
    value = data.draw(from_space(space))
    assert space.contains(value)
    if isinstance(space, spaces.Box):
        assert (type(value), value.dtype) == (np.ndarray, space.dtype)  # Gymnasium cannot sample long doubles
    elif not isinstance(space, spaces.Sequence | spaces.OneOf | spaces.Tuple):
        assert structure(value) == structure(space.sample())


@pytest.mark.parametrize(
    ("space", "condition"),
    [
        (spaces.Box(-3, 7, (2,)), lambda x: x[1] == 7),
        (spaces.Box(-3, 7, (2,)), lambda x: x[1] == -3),
        (spaces.Box(-3, 7, (2,), np.int8), lambda x: x[0] == 7 and x[1] == -3),
        (spaces.Box(np.full(100, -3), np.arange(100), dtype=np.int32), lambda x: (x == np.arange(100)).all()),
        (spaces.Discrete(4, start=-2), lambda x: x == 1),
        (spaces.MultiDiscrete([2, 5], start=[3, -1]), lambda x: (x == [4, 3]).all()),
        (spaces.MultiBinary((2, 2)), lambda x: x.all()),
        (spaces.Text(3, min_length=0, charset="ab"), lambda x: x == "bab"),
        (spaces.Text(3, min_length=0, charset="ab"), lambda x: x == ""),
        (spaces.Sequence(spaces.Discrete(3)), lambda x: x == (2, 0)),
        (spaces.OneOf((spaces.Discrete(2), spaces.Discrete(5))), lambda x: x == (1, 4)),
        (spaces.Graph(spaces.Discrete(4), spaces.Discrete(3)), lambda x: x.edges is not None and x.edge_links[0, 0] == 1),
    ],
    ids=lambda part: str(part) if isinstance(part, gym.Space) else "",
)
def test_every_corner_of_a_space_can_be_drawn(space, condition):
    found = find(from_space(space), condition, settings=settings(max_examples=5000, deadline=None))
    assert condition(found)


def test_other_spaces_are_refused_until_registered():
    class Prime(gym.Space):
        def contains(self, x):
            return x in (2, 3, 5, 7)

    with pytest.raises(TypeError, match=r"got Prime; give its elements with @from_space\.register"):
        from_space(Prime())
    from_space.register(Prime, lambda space: st.sampled_from([2, 3, 5, 7]))
    assert find(from_space(spaces.Dict(p=Prime())), lambda value: value["p"] > 4) == {"p": 5}


@quick
@given(masks(3, (2, 4)), goal_names(2, 5), action_sequences(CorridorEnv(), max_size=7, min_size=2))
def test_masks_names_and_actions_keep_the_contract(mask, names, actions):
    assert mask.dtype == bool and mask.shape == (2, 4, 3)
    assert 2 <= len(set(names)) == len(names) <= 5 and isinstance(names, tuple) and all(names)
    assert 2 <= len(actions) <= 7 and all(action in spaces.Discrete(2) for action in actions)


@quick
@given(goal_sets(dimensions=3), st.lists(st.tuples(*[st.floats(-10, 10)] * 3), min_size=1, max_size=4))
def test_goal_sets_answer_a_batch_as_they_answer_one_by_one(goals, signals):
    batch = goals.achieved(np.array(signals))
    assert batch.shape == (len(signals), len(goals.names)) and batch.dtype == bool
    for signal, row in zip(signals, batch, strict=True):
        assert np.array_equal(goals.achieved(np.array(signal)), row)


@pytest.mark.parametrize("kind", [PointGoals, GridGoals, PredicateGoals, "union"])
def test_every_kind_of_goal_set_is_drawn(kind):
    is_kind = (lambda goals: type(goals) not in (PointGoals, GridGoals, PredicateGoals)) if kind == "union" else None
    find(goal_sets(), is_kind or (lambda goals: type(goals) is kind), settings=settings(max_examples=500, deadline=None))


# ---------------------------------------------------------------------------------------------------------- state machine

without_explaining = [phase for phase in Phase if phase is not Phase.explain]
planted = functools.partial(CorridorEnv, fault="cell 2 from cell 1 at step 3", random_start=False)


def test_a_planted_fault_shrinks_to_the_fewest_calls():
    """From cell 0, only right, left, right shows cell 1 twice, once at step 3: no shorter run is wrong, no other as short."""
    with pytest.raises(ContractError, match="Goals concerned: 'cell/2'") as caught:
        run_state_machine(planted, max_examples=200)
    assert caught.value.calls == (
        "env.reset(seed=0)",
        "env.step(np.int64(1))",
        "env.step(np.int64(0))",
        "env.step(np.int64(1))",
    )
    program = caught.value.reproducer
    assert str(caught.value).endswith(program)
    assert "from tests.corridor_env import CorridorEnv\n" in program
    with pytest.raises(ContractError, match=r"^At step 3 .*Goals concerned: 'cell/2'"):
        exec(program, {})
    # And it is the last call that is wrong, not an earlier one.
    exec(program.rsplit("\n", 1)[0], {})


@pytest.mark.parametrize(
    ("fault", "message", "some_call"),
    [
        ("mask of the commanded goal", "independent of the commanded goal", "env.command_goal("),
        ("unseeded second reset", "same seed and actions", "env.replay()"),
        ("renames goals", "'cell/two'", "env.reset("),
        ("late mask", "after the step, before any reset", "env.step("),
    ],
)
def test_faults_of_every_kind_are_found_and_reproduced(fault, message, some_call):
    with pytest.raises(ContractError, match=message) as caught:
        run_state_machine(functools.partial(CorridorEnv, fault=fault))
    assert any(call.startswith(some_call) for call in caught.value.calls)
    with pytest.raises(ContractError, match=message):
        exec(caught.value.reproducer, {})


def test_a_fault_before_the_first_call_is_reproduced_too():
    with pytest.raises(ContractError, match="tuple of str") as caught:
        run_state_machine(functools.partial(CorridorEnv, fault="list of names"))
    assert caught.value.calls == ()
    with pytest.raises(ContractError, match="tuple of str"):
        exec(caught.value.reproducer, {})


def test_functions_without_a_name_are_left_to_the_reader():
    with pytest.raises(ContractError) as caught:
        run_state_machine(lambda: planted())
    assert "env_fn is the function that was tested" in caught.value.reproducer
    with pytest.raises(ContractError, match="step 3"):
        exec(caught.value.reproducer, {"env_fn": planted})


def test_an_environment_given_by_its_id_is_made_by_its_id():
    gym.register("Planted-v0", planted)
    try:
        with pytest.raises(ContractError) as caught:
            run_state_machine("Planted-v0")
        assert "gym.make('Planted-v0')" in caught.value.reproducer
        with pytest.raises(ContractError, match="step 3"):
            exec(caught.value.reproducer, {})
    finally:
        del gym.registry["Planted-v0"]


def test_other_errors_carry_the_program_as_a_note():
    class Crashes(CorridorEnv):
        def step(self, action):
            if self.steps == 1 and action == 1:
                raise RuntimeError("planted crash")
            return super().step(action)

    with pytest.raises(RuntimeError, match="planted crash") as caught:
        run_state_machine(Crashes)
    (note,) = [note for note in caught.value.__notes__ if note.startswith("To reproduce")]
    assert note.splitlines()[-3:] == [
        "env.reset(seed=0)",
        "env.step(np.int64(0))",
        "env.step(np.int64(1))  # raises RuntimeError",
    ]


def test_what_does_not_repeat_is_said_not_to():
    class WrongOnce(CorridorEnv):
        was_wrong = False

        def step(self, action):
            *rest, info = super().step(action)
            if not self.was_wrong:
                type(self).was_wrong = True
                info["goals_achieved"] = info["goals_achieved"].astype(int)
            return *rest, info

    with pytest.raises(ContractError, match="dtype bool") as caught:
        run_state_machine(WrongOnce)
    assert any("not deterministic" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("on_success", ["terminate", "continue", "switch"])
def test_faultless_environments_pass(on_success):
    run_state_machine(CorridorEnv, max_examples=20)
    run_state_machine(lambda: GoalConditionedWrapper(CorridorEnv(), on_success=on_success, selector="seen"), max_examples=20)


def test_options_reach_the_checker():
    partially = functools.partial(CorridorEnv, fault="cell 2 once a step went left")
    run_state_machine(partially, observation_determines_mask=False, max_examples=20)
    with pytest.raises(ContractError, match="the oracle gives") as caught:
        run_state_machine(
            partially, observation_determines_mask=False, oracle=lambda obs, info: np.arange(5) == obs[0], max_examples=20
        )
    assert "observation_determines_mask=False, oracle=oracle" in caught.value.reproducer


def test_a_slow_environment_is_made_once():
    made = []

    def make():
        made.append(CorridorEnv())
        return made[-1]

    run_state_machine(make, max_examples=20, reuse_env=True)
    assert len(made) == 2  # one to look at the spaces, one to test
    run_state_machine(make, max_examples=20)
    assert len(made) > 10


def test_the_machine_is_a_test_case_that_users_extend():
    machine = multigoal_state_machine(planted)
    assert issubclass(machine.TestCase, unittest.TestCase)
    machine.TestCase.settings = settings(max_examples=50, stateful_step_count=10, deadline=None, phases=without_explaining)
    result = unittest.TestResult()
    machine.TestCase("runTest").run(result)
    ((_, failure),) = result.errors + result.failures
    assert "ContractError" in failure and "env.step(np.int64(1))  # raises ContractError" in failure


# ----------------------------------------------------------------------------------------------------- test class, plugin


def test_the_test_class_passes_and_fails():
    tests = multigoal_env_tests(CorridorEnv, max_examples=10)()
    names = [name for name in dir(tests) if name.startswith("test_")]
    assert names == ["test_contract", "test_gymnasium_vector_env", "test_sb3_vec_env", "test_state_machine"]
    for name in names:
        getattr(tests, name)()
    faulty = multigoal_env_tests(functools.partial(CorridorEnv, fault="short mask"))()
    for name in names:
        with pytest.raises(ContractError, match=r"shape \((2, )?4,?\)"):
            getattr(faulty, name)()


def test_an_environment_itself_is_refused():
    with pytest.raises(TypeError, match=r"pass lambda: MyEnv\(\)"):
        multigoal_env_tests(CorridorEnv())


CORRIDORS = """
import functools, gymnasium as gym
from tests.corridor_env import CorridorEnv

gym.register("Good-v0", CorridorEnv)
gym.register("Bad-v0", functools.partial(CorridorEnv, fault="int mask"))
gym.register("Partial-v0", functools.partial(CorridorEnv, fault="cell 2 once a step went left"))
"""
TESTS = ("test_contract", "test_gymnasium_vector_env", "test_sb3_vec_env", "test_state_machine")
# Loaded by name, because the suite must also run where the entry point is not installed.
PLUGIN = ("-p", "no:leo", "-p", "leo_wrappers.testing.plugin", "-p", "no:cacheprovider")


@pytest.fixture
def project(pytester):
    pytester.makepyfile(corridors=CORRIDORS, test_other="def test_other(): pass")
    pytester.syspathinsert()
    yield pytester
    for name in ("Good-v0", "Bad-v0", "Partial-v0"):
        gym.registry.pop(name, None)


def test_one_line_in_a_module_tests_an_environment(project):
    project.makepyfile(
        test_mine="""
        from leo_wrappers.testing import multigoal_env_tests

        TestGood = multigoal_env_tests("corridors:Good-v0", max_examples=5)
        TestBad = multigoal_env_tests("corridors:Bad-v0", max_examples=5)
        """
    )
    result = project.runpytest_inprocess(*PLUGIN, "-v", "test_mine.py")
    result.assert_outcomes(passed=4, failed=4)
    result.stdout.fnmatch_lines([f"*TestGood::{name} PASSED*" for name in TESTS])
    result.stdout.fnmatch_lines([f"*TestBad::{name} FAILED*" for name in TESTS])


def test_the_option_tests_environments_without_a_module(project):
    result = project.runpytest_inprocess(
        *PLUGIN, "-v", "--leo-env", "corridors:Good-v0", "--leo-env=corridors:Bad-v0", "test_other.py"
    )
    result.assert_outcomes(passed=5, failed=4)
    result.stdout.fnmatch_lines([f"*leo-env?corridors:Good-v0?::{name} PASSED*" for name in TESTS])
    result.stdout.fnmatch_lines(["*dtype bool, got dtype int64; return mask.astype(bool)*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_tests_of_environments_are_chosen_like_any_other(project):
    result = project.runpytest_inprocess(*PLUGIN, "--leo-env", "corridors:Good-v0", "-k", "Good and contract")
    result.assert_outcomes(passed=1, deselected=4)


def test_partial_observation_is_allowed_when_asked_for(project):
    arguments = [*PLUGIN, "--leo-env", "corridors:Partial-v0", "-k", "test_contract"]
    project.runpytest_inprocess(*arguments).assert_outcomes(failed=1, deselected=4)
    project.runpytest_inprocess(*arguments, "--leo-partially-observed").assert_outcomes(passed=1, deselected=4)


def test_the_configuration_adds_to_the_whole_suite_alone(project):
    project.makeini("[pytest]\nleo_envs =\n    corridors:Good-v0")
    project.runpytest_inprocess(*PLUGIN).assert_outcomes(passed=5)
    project.runpytest_inprocess(*PLUGIN, "test_other.py").assert_outcomes(passed=1)


def test_an_unknown_environment_fails_its_tests_alone(project):
    result = project.runpytest_inprocess(*PLUGIN, "--leo-env", "corridors:Goood-v0")
    result.assert_outcomes(passed=1, failed=4)
    result.stdout.fnmatch_lines(["*Goood*"])


def test_the_plugin_imports_nothing_but_pytest():
    heavy = {"numpy", "gymnasium", "hypothesis", "torch", "stable_baselines3"}
    code = f"import leo_wrappers.testing.plugin, sys; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_without_hypothesis_the_error_names_the_extra():
    code = """
import sys
sys.modules["hypothesis"] = None
import leo_wrappers.testing.plugin
try:
    from leo_wrappers.testing import from_space
except ImportError as error:
    print(error)
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 'pip install "leo-rl[testing]"' in output


def test_every_public_name_can_be_imported():
    assert all(callable(getattr(leo_wrappers.testing, name)) for name in leo_wrappers.testing.__all__)
    assert set(leo_wrappers.testing.__all__) <= set(dir(leo_wrappers.testing))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = leo_wrappers.testing.no_such_name
