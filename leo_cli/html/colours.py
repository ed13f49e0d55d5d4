"""Colours of numbers and of runs."""

import numpy as np

# Even in lightness and alike to all eyes: the ends and middles of Matplotlib's "cividis", in which the other maps are drawn.
_RAMP = np.array(
    [
        (0, 34, 78), (18, 53, 112), (59, 73, 108), (87, 93, 109), (112, 113, 115),
        (138, 134, 120), (165, 156, 116), (195, 179, 105), (225, 204, 85), (254, 232, 56),
    ]
)  # fmt: skip
RUNS = 8
"""How many runs have a colour of their own, ``--run-0`` to ``--run-7`` in the style sheet."""


def ramp(share: float) -> str:
    """
    :param share: from 0 to 1
    :return: a colour

    Example::

        >>> ramp(0.0), ramp(1.0)
        ('#00224e', '#fee838')
    """
    place = float(np.clip(share, 0.0, 1.0)) * (len(_RAMP) - 1)
    below = min(int(place), len(_RAMP) - 2)
    mixed = _RAMP[below] + (place - below) * (_RAMP[below + 1] - _RAMP[below])
    red, green, blue = np.round(mixed).astype(int).tolist()
    return f"#{red:02x}{green:02x}{blue:02x}"


def run_colour(number: int) -> str:
    """
    :param number: of the run
    :return: its colour, for a style
    """
    return f"var(--run-{number % RUNS})"


def ramp_legend(low: str, high: str) -> str:
    """
    :param low: what the dark end means
    :param high: what the bright end means
    :return: markup of a scale
    """
    stops = ", ".join(ramp(share) for share in np.linspace(0.0, 1.0, len(_RAMP)))
    scale = f'<i style="background:linear-gradient(90deg,{stops})"></i>'
    return f'<div class="ramp"><span>{low}</span>{scale}<span>{high}</span></div>'
