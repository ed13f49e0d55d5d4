"""Anti-aliased shapes on RGB arrays, computed from each pixel's distance to the shape's edge."""

import numpy as np
import numpy.typing as npt

from leo_envs.common.mdp import Frame

Coverage = npt.NDArray[np.float32]
Color = tuple[int, int, int]


def disc(size: int, radius: float) -> Coverage:
    """
    Compute the coverage of each pixel of a square tile by a centered disc.

    :param size: edge of the tile in pixels
    :param radius: radius of the disc in pixels
    :return: float32 ``[size, size]`` from 0 to 1
    """
    y, x = _centered(size)
    return _coverage(np.hypot(x, y) - radius)


def rounded_square(size: int, half: float, corner: float) -> Coverage:
    """
    Compute the coverage of each pixel of a square tile by a centered square with round corners.

    :param size: edge of the tile in pixels
    :param half: half the edge of the square in pixels
    :param corner: radius of the corners in pixels
    :return: float32 ``[size, size]`` from 0 to 1
    """
    y, x = (np.abs(axis) - (half - corner) for axis in _centered(size))
    outside = np.hypot(np.maximum(x, 0.0), np.maximum(y, 0.0))
    inside = np.minimum(np.maximum(x, y), 0.0)
    return _coverage(outside + inside - corner)


def blend(tile: Frame, coverage: Coverage, color: Color) -> None:
    """
    Draw a shape on a tile, in place.

    :param tile: view of a frame, ``[height, width, 3]``
    :param coverage: coverage of each pixel by the shape, ``[height, width]``
    :param color: color of the shape
    """
    weight = coverage[..., None]
    tile[...] = np.rint(tile * (1.0 - weight) + np.array(color, dtype=np.float32) * weight).astype(np.uint8)


def _centered(size: int) -> tuple[Coverage, Coverage]:
    axis = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    return axis[:, None], axis[None, :]


def _coverage(distance: npt.NDArray[np.floating]) -> Coverage:
    return np.clip(0.5 - distance, 0.0, 1.0).astype(np.float32)
