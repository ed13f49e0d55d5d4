import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leo_wrappers import (
    CallableGoals,
    FrontierGoals,
    GoalSelector,
    IntermediateGoals,
    LearningProgressGoals,
    LeastAchievedGoals,
    MixtureGoals,
    UniformGoals,
    make_goal_selector,
)

NAMES = ("a/0", "a/1", "b/0", "b/1")
NOTHING = np.zeros((8000, 4), dtype=bool)
ALL_SEEN = np.ones((1, 4), dtype=bool)


def frequencies(selector: GoalSelector, observations=None) -> np.ndarray:
    return np.bincount(selector.select(NOTHING, observations), minlength=4) / len(NOTHING)


def naive_rates(history, window, similar):
    """Compute the success rates from all attempts at once, with weights by age."""
    decay = 1.0 - 1.0 / window
    counts = np.zeros((2, 4))
    for goal in range(4):
        outcomes = [success for attempted, success in history if attempted == goal]
        weights = decay ** np.arange(len(outcomes))[::-1]
        counts[:, goal] = weights.sum(), weights @ np.array(outcomes, dtype=float) if outcomes else 0.0
    rates = []
    for goal in range(4):
        attempts, successes = counts[:, similar[goal]].sum(axis=1)
        rates.append((counts[1, goal] + 2 * (successes + 0.5) / (attempts + 1)) / (counts[0, goal] + 2))
    return np.array(rates)


HISTORY = st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40)


@settings(max_examples=60, deadline=None)
@given(HISTORY)
def test_learning_progress_equals_the_difference_of_two_weighted_success_rates(history):
    selector = LearningProgressGoals(window=3, long_window=9, uniform=0.25, seed=0).bind(NAMES)
    selector.observe(np.array([[True, True, True, False]]))
    for goal, success in history:
        selector.record(goal, success)
    families = [[0, 1], [0, 1], [2, 3], [2, 3]]
    progress = np.abs(naive_rates(history, 3, families) - naive_rates(history, 9, families))
    np.testing.assert_allclose(selector.progress, progress, atol=1e-12)
    progress[3] = 0.0
    uniform = np.array([1, 1, 1, 0]) / 3
    expected = 0.75 * progress / progress.sum() + 0.25 * uniform if progress.any() else uniform
    weights = selector._weights()
    np.testing.assert_allclose(weights / weights.sum(), expected, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(HISTORY)
def test_intermediate_weights_by_the_success_at_near_goals(history):
    """With four goals all are neighbors by descriptor."""
    selector = IntermediateGoals(window=5, descriptors=[[0.0], [1.0], [2.0], [3.0]], seed=0).bind(NAMES)
    selector.observe(ALL_SEEN)
    for goal, success in history:
        selector.record(goal, success)
    rates = naive_rates(history, 5, [[0, 1, 2, 3]] * 4)
    np.testing.assert_allclose(selector._weights(), rates * (1 - rates), atol=1e-12)


def test_only_the_nearest_goals_by_descriptor_count():
    names = [f"cell/{number}" for number in range(40)]
    selector = IntermediateGoals(window=100, descriptors=np.arange(40.0)[:, None]).bind(names)
    for _ in range(50):
        selector.record([0], [True])
    rates = selector.recent[0].rates()
    assert (rates[:5] > 0.6).all() and (rates[10:] == 0.5).all()


def test_progress_prefers_goals_that_are_learned_and_forgotten():
    selector = LearningProgressGoals(uniform=0.1, seed=0).bind(("x", "y", "z", "w"))
    selector.observe(ALL_SEEN)
    for number in range(60):
        selector.record([0, 1, 2, 3], [number >= 52, number < 52, True, False])  # learned, forgotten, known, hopeless
    learned, forgotten, known, hopeless = frequencies(selector)
    assert min(learned, forgotten) > 0.4 and max(known, hopeless) < 0.06


def test_frontier_chooses_the_lowest_values_among_the_reachable():
    selector = FrontierGoals(min_value=0.2, fraction=0.5, seed=0).bind(NAMES)
    selector.observe(np.array([[True, True, True, False]]))
    selector.value_function = lambda observations: observations
    values = np.array([[0.9, 0.3, 0.5, 0.25], [0.9, 0.3, 0.1, 0.9], [0.1, 0.1, 0.1, 0.9], [0.9, 0.3, 0.3, 0.3]])
    achieved = np.zeros((4, 4), dtype=bool)
    achieved[3, 1] = True
    chosen = np.array([selector.select(achieved, values) for _ in range(300)])
    # Half of three goals, rounded up: two; half of two: one; no goal can be reached: any seen one; without the achieved one.
    assert [set(column) for column in chosen.T.tolist()] == [{1, 2}, {1}, {0, 1, 2}, {2}]


def test_a_mixture_draws_from_its_selectors_and_shares_their_statistics():
    selector = make_goal_selector({"b/0": 1, "least_achieved": 3}, NAMES, seed=0)
    assert type(selector) is MixtureGoals
    selector.observe(np.array([[True, True, False, False]]))
    selector.record([0, 0, 0], [True, True, True])
    np.testing.assert_allclose(frequencies(selector), [0.75 * 0.2, 0.75 * 0.8, 0.25, 0], atol=0.02)


def test_a_mixture_needs_values_if_one_of_its_selectors_does():
    assert not make_goal_selector({"seen": 1}, NAMES).needs_values
    selector = make_goal_selector({FrontierGoals(min_value=0.5): 1}, NAMES)
    assert selector.needs_values
    selector.observe(ALL_SEEN)
    selector.value_function = lambda observations: observations["value"]
    values = np.full((8000, 4), 0.9)
    values[:, 3] = 0.6
    assert frequencies(selector, {"value": values}).tolist() == [0, 0, 0, 1]


SELECTORS = [
    IntermediateGoals,
    LearningProgressGoals,
    FrontierGoals,
    lambda: MixtureGoals({"learning_progress": 1, "frontier": 1}),
]


@pytest.mark.parametrize("make", SELECTORS)
def test_a_restored_selector_continues_identically(make):
    def use(selector):
        selector.value_function = lambda observations: np.linspace(0.1, 0.9, 4)[None].repeat(len(observations), axis=0)
        return selector.select(NOTHING[:60], NOTHING[:60])

    original = make().bind(NAMES)
    original.seed(3)
    original.observe(ALL_SEEN)
    original.discover(NOTHING[:2] | [True, False, False, False], NOTHING[:2])
    for number in range(30):
        original.record([0, 1, 2], [number > 20, number % 2, True])
    use(original)
    copies = [make(), pickle.loads(pickle.dumps(original))] if make in SELECTORS[:3] else [make()]
    copies[0].load_state_dict(original.state_dict())
    expected = use(original)
    for copy in copies:
        np.testing.assert_array_equal(use(copy), expected)
        assert copy.first_seen.tolist() == [2, -1, -1, -1] and copy.num_steps == 2


def test_the_value_function_is_not_saved():
    selector = FrontierGoals().bind(NAMES)
    selector.value_function = lambda observations: observations  # pickle could not save it
    assert pickle.loads(pickle.dumps(selector)).value_function is None


def test_discoveries():
    """A goal is reached from the last discovered goal of the previous state."""
    selector = UniformGoals().bind(NAMES)
    at = np.eye(4, dtype=bool)
    selector.discover(at[[0, 0]])
    selector.discover(at[[0, 1]], before=at[[0, 0]])
    selector.discover(at[[2, 2]], before=np.array([[True, True, False, False], [True, False, False, False]]))
    selector.discover(at[[2, 3]], before=np.zeros((2, 4), dtype=bool))
    assert selector.first_seen.tolist() == [0, 2, 4, 6]
    assert selector.reached_from.tolist() == [-1, 0, 1, -1]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([0.0] * 4, "not all 0"),
        ([np.nan, 1, 1, 1], "finite weights of Broken of at least 0"),
        ([np.inf, 1, 1, 1], "finite weights"),
        ([-1, 2, 2, 2], "finite weights"),
        ([1.0, 1.0], r"4 weights of Broken, one per goal, got shape \(2,\)"),
    ],
)
def test_invalid_weights(weights, message):
    class Broken(GoalSelector):
        def _weights(self):
            return np.array(weights)

    with pytest.raises(ValueError, match=message):
        Broken().bind(NAMES).select(NOTHING[:2])


def test_a_selector_that_returns_nothing():
    for nothing in (None, []):
        with pytest.raises(ValueError, match="expected the goal selector to return 2 integer goal ids"):
            CallableGoals(lambda selector, count, nothing=nothing: nothing).bind(NAMES).select(NOTHING[:2])


@pytest.mark.parametrize("make", [FrontierGoals, lambda: MixtureGoals({"frontier": 1})])
def test_an_agent_without_values(make):
    with pytest.raises(ValueError, match="expected an agent with values of all goals for FrontierGoals, got none"):
        make().bind(NAMES).select(NOTHING[:2], NOTHING[:2])


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.full((2, 4), np.nan), np.zeros(4)])
def test_values_of_other_shape_or_nan(values):
    selector = FrontierGoals().bind(NAMES)
    selector.value_function = lambda observations: values
    with pytest.raises(ValueError, match=r"expected values of shape \(2, 4\) without NaN"):
        selector.select(NOTHING[:2], NOTHING[:2])


@pytest.mark.parametrize("make", SELECTORS)
def test_statistics_of_another_goal_set(make):
    state = make().bind(NAMES).state_dict()
    with pytest.raises(ValueError, match="the 2 goals that this selector was made for, got 4 others"):
        make().bind(("x", "y")).load_state_dict(state)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MixtureGoals({}), TypeError, "a weight per selector"),
        (lambda: MixtureGoals(["seen"]), TypeError, "a weight per selector"),
        (lambda: MixtureGoals({"seen": 0}), ValueError, "the weight of 'seen' above 0"),
        (lambda: MixtureGoals({"seen": float("nan")}), ValueError, "the weight of 'seen' above 0"),
        (lambda: make_goal_selector({"nowhere": 1}, NAMES), ValueError, "got 'nowhere'"),
        (lambda: IntermediateGoals(0), ValueError, "window of at least 1"),
        (lambda: IntermediateGoals(descriptors=[[0.0]]).bind(NAMES), ValueError, "descriptors of 4 goals"),
        (lambda: LearningProgressGoals(10, 10), ValueError, "long_window of at least 11"),
        (lambda: LearningProgressGoals(uniform=0.0), ValueError, "uniform above 0"),
        (lambda: FrontierGoals(min_value=2.0), ValueError, "min_value between 0 and 1"),
        (lambda: FrontierGoals(fraction=0.0), ValueError, "fraction above 0"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_least_achieved_may_be_part_of_a_mixture_by_instance():
    mixture = MixtureGoals({LeastAchievedGoals(): 1.0}, seed=0).bind(NAMES)
    mixture.observe(np.array([[False, True, False, False]]))
    assert set(mixture.select(NOTHING[:20]).tolist()) == {1}
