"""Smooth shapes on RGB arrays, by how far each pixel lies from the shape's edge."""

import numpy as np
import numpy.typing as npt

from leo_envs.common.mdp import Frame

Coverage = npt.NDArray[np.float32]
Color = tuple[int, int, int]


def disc(size: int, radius: float) -> Coverage:
    """
    How much of each pixel of a square tile a centred disc covers.

    :param size: the tile's edge in pixels
    :param radius: the disc's radius in pixels
    :return: float32 ``[size, size]`` from 0 to 1
    """
    y, x = _centred(size)
    return _covered(np.hypot(x, y) - radius)


def rounded_square(size: int, half: float, corner: float) -> Coverage:
    """
    How much of each pixel of a square tile a centred square with round corners covers.

    :param size: the tile's edge in pixels
    :param half: half the square's edge in pixels
    :param corner: the corners' radius in pixels
    :return: float32 ``[size, size]`` from 0 to 1
    """
    y, x = (np.abs(axis) - (half - corner) for axis in _centred(size))
    outside = np.hypot(np.maximum(x, 0.0), np.maximum(y, 0.0))
    inside = np.minimum(np.maximum(x, y), 0.0)
    return _covered(outside + inside - corner)


def blend(tile: Frame, coverage: Coverage, color: Color) -> None:
    """
    Paint a shape on a tile, in place.

    :param tile: a view of a picture ``[height, width, 3]``
    :param coverage: the shape ``[height, width]``
    :param color: its colour
    """
    weight = coverage[..., None]
    tile[...] = np.rint(tile * (1.0 - weight) + np.array(color, dtype=np.float32) * weight).astype(np.uint8)


def _centred(size: int) -> tuple[Coverage, Coverage]:
    axis = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    return axis[:, None], axis[None, :]


def _covered(distance: npt.NDArray[np.floating]) -> Coverage:
    return np.clip(0.5 - distance, 0.0, 1.0).astype(np.float32)
