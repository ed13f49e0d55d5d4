"""Colors of values and of runs."""

import numpy as np

# Samples of Matplotlib's "cividis", the perceptually uniform color map of the figures.
_RAMP = np.array(
    [
        (0, 34, 78), (18, 53, 112), (59, 73, 108), (87, 93, 109), (112, 113, 115),
        (138, 134, 120), (165, 156, 116), (195, 179, 105), (225, 204, 85), (254, 232, 56),
    ]
)  # fmt: skip
_NUM_RUN_COLORS = 8


def ramp(value: float) -> str:
    """
    Return the color of a value.

    :param value: between 0 and 1
    :return: hexadecimal color

    Example::

        >>> ramp(0.0), ramp(1.0)
        ('#00224e', '#fee838')
    """
    position = float(np.clip(value, 0.0, 1.0)) * (len(_RAMP) - 1)
    below = min(int(position), len(_RAMP) - 2)
    mixed = _RAMP[below] + (position - below) * (_RAMP[below + 1] - _RAMP[below])
    red, green, blue = np.round(mixed).astype(int).tolist()
    return f"#{red:02x}{green:02x}{blue:02x}"


def run_color(number: int) -> str:
    """Return the CSS color of a run, one of the variables ``--run-0`` to ``--run-7`` of the style sheet."""
    return f"var(--run-{number % _NUM_RUN_COLORS})"


def ramp_legend(low: str, high: str) -> str:
    """
    Draw a color bar.

    :param low: label of the dark end
    :param high: label of the bright end
    """
    stops = ", ".join(ramp(value) for value in np.linspace(0.0, 1.0, len(_RAMP)))
    scale = f'<i style="background:linear-gradient(90deg,{stops})"></i>'
    return f'<div class="ramp"><span>{low}</span>{scale}<span>{high}</span></div>'
