"""Interquartile means and stratified bootstrap intervals, which aggregate few seeds over many goals."""

import numpy as np

from leo_agents.evaluation.intervals import FloatArray, check_confidence

REPETITIONS = 2_000


def interquartile_mean(scores: FloatArray, axis: int | None = None) -> FloatArray:
    """
    Compute the mean of the middle half, which ignores outliers in the best and worst quarter.

    :param scores: numbers without NaN
    :param axis: axis to reduce; all axes when None
    :return: the mean, without the reduced axis

    Example::

        >>> float(interquartile_mean([0.0, 1.0, 2.0, 90.0]))
        1.5
    """
    values = np.ravel(scores)[None] if axis is None else np.moveaxis(np.asarray(scores), axis, -1)
    cut = values.shape[-1] // 4
    middle = np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut].mean(axis=-1)
    result: FloatArray = middle[0] if axis is None else middle
    return result


def stratified_interval(
    scores: FloatArray, *, mean: bool = False, confidence: float = 0.95, repetitions: int = REPETITIONS, seed: int = 0
) -> tuple[float, float] | None:
    """
    Compute a percentile bootstrap interval of the interquartile mean; seeds are resampled separately for each goal.

    :param scores: scores of each seed and goal, ``[seeds, goals]``, without NaN
    :param mean: use the mean instead of the interquartile mean
    :param confidence: coverage of the interval
    :param repetitions: number of bootstrap samples
    :param seed: seed of the resampling
    :return: lower and upper bound; None for a single seed

    Example::

        >>> low, high = stratified_interval([[0.0, 1.0], [1.0, 1.0]], mean=True)
        >>> low, high
        (0.5, 1.0)
        >>> stratified_interval([[0.0, 1.0]]) is None
        True
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or np.isnan(scores).any():
        raise ValueError(f"expected scores [seeds, goals] without NaN, got shape {scores.shape}; leave out goals with NaN")
    check_confidence(confidence)
    num_seeds, num_goals = scores.shape
    if num_seeds < 2:
        return None
    generator = np.random.default_rng(seed)
    statistics = np.empty(repetitions)
    for repetition in range(repetitions):
        resampled = scores[generator.integers(num_seeds, size=(num_seeds, num_goals)), np.arange(num_goals)]
        statistics[repetition] = resampled.mean() if mean else interquartile_mean(resampled)
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(statistics, [tail, 100.0 - tail])
    return float(low), float(high)
