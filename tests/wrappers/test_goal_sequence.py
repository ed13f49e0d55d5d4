"""Sequences of commanded goals: equal to the program "a then b then ...", and errors of bad arguments."""

import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import leo_envs
from leo_wrappers import GoalSequenceWrapper, check_multigoal_env
from leo_wrappers.goal_sequence import next_sequences
from leo_wrappers.programs import ProgramWrapper
from tests.line_env import LineEnv, make_line

gym.register_envs(leo_envs)


def naive_next(sequence, mask):
    """Return the sequence after a step."""
    goals = [goal for goal in sequence if goal < len(mask)]
    if goals and mask[goals[0]]:
        goals = goals[1:]
    return goals + [len(mask)] * (len(sequence) - len(goals))


@given(st.data())
def test_next_sequences_equal_a_loop(data):
    num_goals, length = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    goals = st.lists(st.integers(0, num_goals - 1), max_size=length)
    rows = data.draw(st.lists(goals.map(lambda g: g + [num_goals] * (length - len(g))), min_size=1, max_size=5))
    masks = np.array([[data.draw(st.booleans()) for _ in range(num_goals)] for _ in rows])
    expected = [naive_next(row, mask) for row, mask in zip(rows, masks, strict=True)]
    assert next_sequences(np.array(rows), masks).tolist() == expected


@given(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.lists(st.integers(0, 1), max_size=20), st.booleans())
def test_a_sequence_is_the_program_of_its_goals(goals, actions, has_trap):
    def make():
        return make_line(start=1, trap=4 if has_trap else None, horizon=15)

    sequence = GoalSequenceWrapper(make(), max_length=3)
    program = ProgramWrapper(make(), " then ".join(f"at/{goal}" for goal in goals))
    obs, info = sequence.reset(options={"goals": goals})
    program.reset()
    assert obs["goal_sequence"].tolist() == goals + [5] * (3 - len(goals)) and not info["is_success"]
    for action in actions:
        obs, *outcome, info = sequence.step(action)
        program_obs, *expected, program_info = program.step(action)
        assert outcome == expected
        assert info["is_success"] == program_info["is_success"]
        assert info.get("ended_by_goal") == program_info.get("ended_by_goal")
        assert obs["goal_sequence"].tolist() == (goals + [5] * 3)[program_obs["program_state"] :][:3]
        if any(outcome[1:]):
            break


def test_sequences_are_drawn_from_the_seed():
    env = GoalSequenceWrapper(make_line(), max_length=3, seed=0)
    first = [env.reset(seed=3 if number == 0 else None)[0]["goal_sequence"] for number in range(300)]
    again = [env.reset(seed=3 if number == 0 else None)[0]["goal_sequence"] for number in range(300)]
    assert np.array_equal(first, again)
    assert {int((goals < 5).sum()) for goals in first} == {1, 2, 3} and {int(goals[0]) for goals in first} == {0, 1, 2, 3, 4}
    assert np.array_equal(*(GoalSequenceWrapper(make_line(), seed=7).reset()[0]["goal_sequence"] for _ in range(2)))


def test_checkers_pass():
    for env in (make_line(), gym.make("leo/GridWorld-v0", map="S..|.#.".replace("|", "\n"))):
        wrapped = GoalSequenceWrapper(env)
        check_env(wrapped, skip_render_check=True)
        sb3_check_env(wrapped)
        check_multigoal_env(GoalSequenceWrapper(env, max_length=2))


def test_copies_continue_the_sequence():
    env = GoalSequenceWrapper(make_line(start=1), max_length=2)
    env.reset(options={"goals": ["at/2", "at/1"]})
    env.step(1)
    copy = pickle.loads(pickle.dumps(env))
    assert copy.goal_sequence.tolist() == [1, 5] and copy.step(0)[1:3] == env.step(0)[1:3] == (1.0, True)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: GoalSequenceWrapper(LineEnv()), "expected a multi-goal environment, got one without goal_names"),
        (lambda: GoalSequenceWrapper("env"), "expected"),
        (lambda: GoalSequenceWrapper(make_line(), max_length=0), "max_length"),
        (lambda: GoalSequenceWrapper(make_line(), seed=-1), "seed"),
        (lambda: GoalSequenceWrapper(GoalSequenceWrapper(make_line())), "without 'goal_sequence'"),
        (lambda: GoalSequenceWrapper(make_line()).reset(options={"goals": "at/1"}), "single string 'at/1'; write"),
        (lambda: GoalSequenceWrapper(make_line()).reset(options={"goals": 3}), "goals"),
        (lambda: GoalSequenceWrapper(make_line()).reset(options={"goals": []}), "expected 1 to 5 goals, got 0"),
        (lambda: GoalSequenceWrapper(make_line(), 1).reset(options={"goals": [0, 1]}), "expected 1 to 1 goals, got 2"),
        (lambda: GoalSequenceWrapper(make_line()).reset(options={"goals": ["at/9"]}), "nearest"),
        (lambda: GoalSequenceWrapper(make_line()).reset(options={"goals": [5]}), "5"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises((TypeError, ValueError), match="expected") as error:
        make()
    assert message in str(error.value)
