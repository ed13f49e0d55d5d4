"""Interquartile means with stratified bootstrap intervals, the way to sum up few seeds over many goals."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

REPETITIONS = 2_000


def interquartile_mean(scores: FloatArray, axis: int | None = None) -> FloatArray:
    """
    The mean of the middle half: neither the best nor the worst quarter can carry it away.

    :param scores: numbers without NaN
    :param axis: over which axis; over all when None
    :return: the mean

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
    The interval of the interquartile mean over other seeds of the same trainings: seeds are drawn again within each goal.

    :param scores: ``[runs, goals]``, without NaN
    :param mean: of the mean instead
    :param confidence: how much of the bootstrap's distribution lies inside
    :param repetitions: how many times to draw
    :param seed: of the draws
    :return: lower and upper end; None for a single run, which says nothing about others

    Example::

        >>> low, high = stratified_interval([[0.0, 1.0], [1.0, 1.0]], mean=True)
        >>> low, high
        (0.5, 1.0)
        >>> stratified_interval([[0.0, 1.0]]) is None
        True
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or np.isnan(scores).any():
        raise ValueError(f"expected scores of runs and goals without NaN, got shape {scores.shape}; leave such goals out")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"expected a confidence between 0 and 1, got {confidence}; 0.95 is usual")
    runs, goals = scores.shape
    if runs < 2:
        return None
    generator = np.random.default_rng(seed)
    drawn = np.empty(repetitions)
    for repetition in range(repetitions):
        again = scores[generator.integers(runs, size=(runs, goals)), np.arange(goals)]
        drawn[repetition] = again.mean() if mean else interquartile_mean(again)
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(drawn, [tail, 100.0 - tail])
    return float(low), float(high)
