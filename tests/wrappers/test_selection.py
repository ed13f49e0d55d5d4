import numpy as np
import pytest

from leo_wrappers import (
    CallableGoals,
    FixedGoal,
    GoalSelector,
    LeastAchievedGoals,
    RoundRobinGoals,
    SeenGoals,
    UniformGoals,
    make_goal_selector,
)

NAMES = ("a", "b", "c", "d")
NOTHING = np.zeros((8000, 4), dtype=bool)


def frequencies(selector: GoalSelector, achieved: np.ndarray = NOTHING) -> np.ndarray:
    return np.bincount(selector.select(achieved), minlength=4) / len(achieved)


def test_uniform_draws_all_goals_equally_often():
    np.testing.assert_allclose(frequencies(UniformGoals(seed=0).bind(NAMES)), 0.25, atol=0.02)


def test_seen_draws_only_seen_goals_or_all_if_there_are_none():
    selector = SeenGoals(seed=0).bind(NAMES)
    np.testing.assert_allclose(frequencies(selector), 0.25, atol=0.02)
    selector.observe(np.array([[False, True, False, False], [False, False, False, True]]))
    np.testing.assert_allclose(frequencies(selector), [0, 0.5, 0, 0.5], atol=0.02)
    assert selector.seen.tolist() == [False, True, False, True]


def test_least_achieved_prefers_few_successes_among_the_seen():
    selector = LeastAchievedGoals(seed=0).bind(NAMES)
    selector.observe(np.array([True, True, True, False]))
    selector.record([0, 0, 0, 1, 1], [True, True, True, True, False])
    assert selector.attempts.tolist() == [3, 2, 0, 0] and selector.successes.tolist() == [3, 1, 0, 0]
    weights = np.array([1 / 4, 1 / 2, 1, 0])
    np.testing.assert_allclose(frequencies(selector), weights / weights.sum(), atol=0.02)


def test_achieved_goals_are_skipped():
    """Redrawing must not change the proportions of the other goals, also for rows with one or no remaining goal."""
    selector = UniformGoals(seed=0).bind(NAMES)
    achieved = np.zeros((9000, 4), dtype=bool)
    achieved[:, 0] = True
    np.testing.assert_allclose(frequencies(selector, achieved), [0, 1 / 3, 1 / 3, 1 / 3], atol=0.02)
    achieved[:, 1:3] = True
    np.testing.assert_array_equal(frequencies(selector, achieved), [0, 0, 0, 1])
    achieved[:] = True
    np.testing.assert_allclose(frequencies(selector, achieved), 0.25, atol=0.02)
    allowed = UniformGoals(skip_achieved=False, seed=0).bind(NAMES)
    np.testing.assert_allclose(frequencies(allowed, achieved), 0.25, atol=0.02)


def test_skipping_keeps_to_seen_goals():
    selector = SeenGoals(seed=0).bind(NAMES)
    selector.observe(np.array([True, True, False, False]))
    achieved = np.array([[True, False, False, False]] * 50)
    assert set(selector.select(achieved).tolist()) == {1}


def test_skipping_a_goal_that_nearly_every_draw_chooses_keeps_the_proportions_of_the_others():
    selector = LeastAchievedGoals(seed=0).bind(NAMES)
    selector.observe(np.array([True, True, True, False]))
    selector.successes[:] = [0, 999, 2999, 0]
    achieved = np.zeros((2000, 4), dtype=bool)
    achieved[:, 0] = True
    np.testing.assert_allclose(frequencies(selector, achieved), [0, 0.75, 0.25, 0], atol=0.04)


def test_fixed_and_round_robin():
    assert FixedGoal("c").bind(NAMES).select(np.ones((2, 4), dtype=bool)).tolist() == [2, 2]
    selector = RoundRobinGoals(start=2).bind(NAMES)
    assert selector.select(NOTHING[:3]).tolist() == [2, 3, 0]
    assert selector.select(NOTHING[:2]).tolist() == [1, 2]


def test_a_function_can_use_the_statistics():
    selector = make_goal_selector(lambda selector, count: np.full(count, selector.attempts.argmin()), NAMES)
    selector.record([0, 1], [False, False])
    assert selector.select(NOTHING[:2]).tolist() == [2, 2]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda selector, count: [0], "return 2 integer goal ids"),
        (lambda selector, count: [0.0] * count, "integer goal ids, got float64"),
        (lambda selector, count: [4] * count, "ids from 0 to 3"),
        (lambda selector, count: [-1] * count, "ids from 0 to 3"),
    ],
)
def test_a_function_with_invalid_results(function, message):
    with pytest.raises(ValueError, match=message):
        CallableGoals(function).bind(NAMES).select(NOTHING[:2])


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("uniform", UniformGoals),
        ("seen", SeenGoals),
        ("least_achieved", LeastAchievedGoals),
        ("round_robin", RoundRobinGoals),
        ("b", FixedGoal),
        (3, FixedGoal),
        (lambda selector, count: np.zeros(count, dtype=int), CallableGoals),
    ],
)
def test_make_goal_selector(spec, kind):
    assert type(make_goal_selector(spec, NAMES)) is kind


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("sene", ValueError, r"a strategy \(uniform, seen, .*got 'sene'"),
        (4, ValueError, "goal id from 0 to 3, got 4"),
        (None, TypeError, "a function, or a goal"),
        (UniformGoals().bind(("x",)), ValueError, "this selector was made for"),
    ],
)
def test_make_goal_selector_raises(spec, error, message):
    with pytest.raises(error, match=message):
        make_goal_selector(spec, NAMES)


@pytest.mark.parametrize("make", [UniformGoals, SeenGoals, LeastAchievedGoals, RoundRobinGoals, lambda: FixedGoal(1)])
def test_a_restored_selector_continues_identically(make):
    original = make().bind(NAMES)
    original.seed(3)
    original.observe(np.array([True, False, True, True]))
    original.record([2], [True])
    original.select(NOTHING[:5])
    copy = make()
    copy.load_state_dict(original.state_dict())
    np.testing.assert_array_equal(copy.select(NOTHING[:50]), original.select(NOTHING[:50]))
    assert copy.seen.tolist() == original.seen.tolist() and copy.successes.tolist() == [0, 0, 1, 0]


def test_the_global_generator_of_numpy_is_not_used():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = UniformGoals(seed=5).bind(NAMES).select(NOTHING[:50])
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    np.testing.assert_array_equal(first, UniformGoals(seed=5).bind(NAMES).select(NOTHING[:50]))
    assert (first != UniformGoals(seed=6).bind(NAMES).select(NOTHING[:50])).any()
