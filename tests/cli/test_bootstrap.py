import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import trim_mean

from leo_cli.bootstrap import interquartile_mean, stratified_interval

RATES = st.floats(0, 1)


@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9), elements=RATES))
def test_interquartile_mean_equals_trimmed_mean(scores):
    assert interquartile_mean(scores) == pytest.approx(trim_mean(scores, 0.25, axis=None))
    np.testing.assert_allclose(interquartile_mean(scores, axis=1), trim_mean(scores, 0.25, axis=1))


def test_seeds_are_resampled_within_each_goal():
    """With two seeds and two goals the exact bootstrap distribution is that of 16 equally likely resamples."""
    scores = np.array([[0.0, 0.2], [1.0, 0.6]])
    resampled_means = [
        np.mean([scores[a, 0], scores[b, 0], scores[c, 1], scores[d, 1]])
        for a, b, c, d in itertools.product(range(2), repeat=4)
    ]
    for confidence in (0.7, 0.9):
        tail = 50 * (1 - confidence)
        interval = stratified_interval(scores, mean=True, confidence=confidence, repetitions=4_000)
        np.testing.assert_allclose(interval, np.percentile(np.repeat(resampled_means, 250), [tail, 100 - tail]), atol=1e-9)


@given(hnp.arrays(np.float64, (3, 5), elements=RATES), st.booleans())
def test_interval_lies_between_the_extreme_resamples(scores, mean):
    low, high = stratified_interval(scores, mean=mean, repetitions=50)
    best, worst = scores.max(axis=0), scores.min(axis=0)
    assert worst.min() - 1e-9 <= low <= high <= best.max() + 1e-9


def test_equal_seeds_give_an_interval_of_zero_width_and_one_seed_gives_none():
    scores = np.tile(np.linspace(0, 1, 8), (4, 1))
    assert stratified_interval(scores) == pytest.approx((0.5, 0.5))
    assert stratified_interval(scores[:1]) is None


@pytest.mark.parametrize(
    ("scores", "options", "message"),
    [
        ([0.1], {}, "expected scores"),
        ([[np.nan]], {}, "expected scores"),
        ([[0.1], [0.2]], {"confidence": 0.0}, "expected confidence"),
    ],
)
def test_invalid_input(scores, options, message):
    with pytest.raises(ValueError, match=message):
        stratified_interval(scores, **options)
