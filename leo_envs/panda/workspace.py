"""Reachable positions of the Panda arm's grip with an upright gripper."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LOWEST = 0.015
"""Smallest height of the grip, in meters: the fingertips are one centimeter below the grip."""
LOW = np.array([0.28, -0.45, LOWEST])
HIGH = np.array([0.75, 0.45, 0.5])
"""Corners of the box of reachable positions. Its far corners are excluded, because the fully extended arm cannot keep the
gripper upright."""

# Position of the wrist relative to the grip, height of the shoulder, and largest distance between the two, in meters.
_WRIST_ABOVE, _WRIST_BEHIND = 0.2475, 0.088
_SHOULDER_HEIGHT = 0.333
_MAX_WRIST_DISTANCE = 0.67


def nearest_reachable(position: Array) -> Array:
    """
    Return a reachable position near a position, which is the position itself if it is reachable.

    :param position: ``[3]``
    :return: ``[3]``
    """
    result = np.clip(position, LOW, HIGH)
    across = float(np.hypot(result[0], result[1]))
    ahead, up = across - _WRIST_BEHIND, result[2] + _WRIST_ABOVE - _SHOULDER_HEIGHT
    excess = float(np.hypot(ahead, up)) / _MAX_WRIST_DISTANCE
    if excess > 1.0:
        result[:2] *= (ahead / excess + _WRIST_BEHIND) / across
        result[2] = max(up / excess - _WRIST_ABOVE + _SHOULDER_HEIGHT, LOWEST)
    return result


def is_reachable(positions: npt.ArrayLike) -> bool:
    """
    Return whether all positions are reachable.

    :param positions: ``[n, 3]``
    """
    array = np.asarray(positions, dtype=np.float64)
    return all(np.allclose(nearest_reachable(position), position, atol=1e-9) for position in array)
