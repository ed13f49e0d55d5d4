import functools
import unittest

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import Phase, settings

from leo_wrappers import ContractError, GoalConditionedWrapper
from leo_wrappers.checks.recording import Call
from leo_wrappers.testing import (
    multigoal_state_machine,
    run_state_machine,
)
from leo_wrappers.testing.env_source import EnvSource
from leo_wrappers.testing.shrinking import CheckerSetup, shrink_calls
from tests.corridor_env import CorridorEnv

without_explain = [phase for phase in Phase if phase is not Phase.explain]
planted = functools.partial(CorridorEnv, fault="cell 2 from cell 1 at step 3", random_start=False)


def test_planted_fault_shrinks_to_the_fewest_calls():
    """Right, left, right is the only shortest run from cell 0 that visits cell 1 twice, once at step 3."""
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
    exec(program.rsplit("\n", 1)[0], {})  # only the last call raises


@pytest.mark.parametrize(
    ("fault", "message", "some_call"),
    [
        ("mask of the commanded goal", "independent of the commanded goal", "env.command_goal("),
        ("unseeded second reset", "same seed and actions", "env.replay()"),
        ("renames goals", "'cell/two'", "env.reset("),
        ("late mask", "after the step, before any reset", "env.step("),
    ],
)
def test_fault_is_found_and_reproduced(fault, message, some_call):
    with pytest.raises(ContractError, match=message) as caught:
        run_state_machine(functools.partial(CorridorEnv, fault=fault))
    assert any(call.startswith(some_call) for call in caught.value.calls)
    with pytest.raises(ContractError, match=message):
        exec(caught.value.reproducer, {})


def test_fault_before_the_first_call_is_reproduced():
    with pytest.raises(ContractError, match="tuple of str") as caught:
        run_state_machine(functools.partial(CorridorEnv, fault="list of names"))
    assert caught.value.calls == ()
    with pytest.raises(ContractError, match="tuple of str"):
        exec(caught.value.reproducer, {})


def test_program_of_an_unnamed_function():
    with pytest.raises(ContractError) as caught:
        run_state_machine(lambda: planted())
    assert "env_fn is the function that was tested" in caught.value.reproducer
    with pytest.raises(ContractError, match="step 3"):
        exec(caught.value.reproducer, {"env_fn": planted})


def test_program_of_an_environment_id():
    gym.register("Planted-v0", planted)
    try:
        with pytest.raises(ContractError) as caught:
            run_state_machine("Planted-v0")
        assert "gym.make('Planted-v0')" in caught.value.reproducer
        with pytest.raises(ContractError, match="step 3"):
            exec(caught.value.reproducer, {})
    finally:
        del gym.registry["Planted-v0"]


def test_other_errors_have_the_program_as_a_note():
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


def test_error_that_does_not_repeat_has_a_note():
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
def test_correct_environments_pass(on_success):
    run_state_machine(CorridorEnv, max_examples=20)
    run_state_machine(
        lambda: GoalConditionedWrapper(CorridorEnv(), on_success=on_success, goal_selector="seen"), max_examples=20
    )


def test_options_reach_the_checker():
    partially = functools.partial(CorridorEnv, fault="cell 2 once a step went left")
    run_state_machine(partially, observation_determines_mask=False, max_examples=20)
    with pytest.raises(ContractError, match="the oracle's mask") as caught:
        run_state_machine(
            partially, observation_determines_mask=False, oracle=lambda obs, info: np.arange(5) == obs[0], max_examples=20
        )
    assert "observation_determines_mask=False, oracle=oracle" in caught.value.reproducer


def test_reuse_env_creates_the_environment_once():
    made = []

    def make():
        made.append(CorridorEnv())
        return made[-1]

    run_state_machine(make, max_examples=20, reuse_env=True)
    assert len(made) == 2  # one for the spaces, one for the runs
    run_state_machine(make, max_examples=20)
    assert len(made) > 10


def test_shrink_calls_removes_what_hypothesis_leaves():
    setup = CheckerSetup(EnvSource(planted))
    step = [Call("step", {"action": np.int64(action)}) for action in (0, 1)]
    seeded, unseeded = Call("reset", {"seed": 0, "options": None}), Call("reset", {"seed": None, "options": None})
    # The first episode and the replay are irrelevant; the two steps left after the reset can only be removed together.
    calls = [seeded, *[step[0]] * 12, unseeded, Call("replay", {}), step[0], step[0], step[1], step[0], step[1]]
    play = lambda calls: setup.play(planted(), calls)  # noqa: E731
    error = play(calls)
    shortest, error = shrink_calls(calls, error, play)
    assert shortest == [seeded, step[1], step[0], step[1]] and "At step 3 " in str(error)


def test_state_machine_is_a_test_case():
    machine = multigoal_state_machine(planted)
    assert issubclass(machine.TestCase, unittest.TestCase)
    machine.TestCase.settings = settings(max_examples=200, deadline=None, derandomize=True, phases=without_explain)
    result = unittest.TestResult()
    machine.TestCase("runTest").run(result)
    ((_, failure),) = result.errors + result.failures
    assert "ContractError" in failure and "env.step(np.int64(1))  # raises ContractError" in failure
