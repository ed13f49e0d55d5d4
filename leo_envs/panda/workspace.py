"""Where the Panda arm's grip can be with its gripper upright."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LOWEST = 0.015
"""The grip goes no lower, in metres: the fingertips end a centimetre beneath it."""
LOW = np.array([0.28, -0.45, LOWEST])
HIGH = np.array([0.75, 0.45, 0.5])
"""The box that the grip is kept in. Its far corners are cut off: there the arm would be stretched out, and lose its hold on
the gripper's direction."""

# The wrist is this far above the grip and behind it, and may be this far from the shoulder, which is this high.
_WRIST_ABOVE, _WRIST_BEHIND = 0.2475, 0.088
_SHOULDER_HEIGHT = 0.333
_STRETCH = 0.67


def nearest_reachable(place: Array) -> Array:
    """
    A place that the grip can go to: the same one, or one near it.

    :param place: ``[3]``
    :return: ``[3]``
    """
    result = np.clip(place, LOW, HIGH)
    across = float(np.hypot(result[0], result[1]))
    ahead, up = across - _WRIST_BEHIND, result[2] + _WRIST_ABOVE - _SHOULDER_HEIGHT
    excess = float(np.hypot(ahead, up)) / _STRETCH
    if excess > 1.0:
        result[:2] *= (ahead / excess + _WRIST_BEHIND) / across
        result[2] = max(up / excess - _WRIST_ABOVE + _SHOULDER_HEIGHT, LOWEST)
    return result


def is_reachable(places: npt.ArrayLike) -> bool:
    """
    Whether the grip can go to all of these places.

    :param places: ``[n, 3]``
    """
    return all(np.allclose(nearest_reachable(place), place, atol=1e-9) for place in np.asarray(places, dtype=np.float64))
