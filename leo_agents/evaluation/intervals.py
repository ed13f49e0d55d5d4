"""Confidence intervals of success rates."""

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from leo_wrappers.validation import check_fraction, float_array

FloatArray = npt.NDArray[np.float64]


def wilson_interval(
    successes: npt.ArrayLike, attempts: npt.ArrayLike, confidence: float = 0.95
) -> tuple[FloatArray, FloatArray]:
    """
    Compute Wilson's score interval of a success rate, which stays valid for few attempts and for rates of 0 and 1.

    :param successes: numbers of successes, of any shape
    :param attempts: numbers of attempts; without any the interval is 0 to 1
    :param confidence: coverage of the interval
    :return: lower and upper bounds, in the shape of the inputs

    Example::

        >>> low, high = wilson_interval(0, 10)
        >>> round(float(low), 3), round(float(high), 3)
        (0.0, 0.278)
    """
    check_confidence(confidence)
    won, tried = float_array("successes", successes), float_array("attempts", attempts)
    if not ((won >= 0) & (won <= tried)).all():
        raise ValueError("expected successes from 0 to the number of attempts, got others; check the order of the arguments")
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    center = won + z * z / 2.0
    half = z * np.sqrt(won * (tried - won) / np.maximum(tried, 1e-12) + z * z / 4.0)
    # At rates of 0 and 1 one bound is exact, but rounding in the square root may miss it.
    low, high = ((center + sign * half) / (tried + z * z) for sign in (-1.0, 1.0))
    return np.where(won == 0, 0.0, np.clip(low, 0.0, 1.0)), np.where(won == tried, 1.0, np.clip(high, 0.0, 1.0))


def check_confidence(confidence: float) -> None:
    """Raise an error unless the confidence level lies strictly between 0 and 1."""
    check_fraction("confidence", confidence, positive=True)
    if confidence == 1.0:
        raise ValueError(f"expected a confidence between 0 and 1, got {confidence}; use e.g. 0.95")
