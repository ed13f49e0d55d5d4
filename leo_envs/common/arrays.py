"""Small array helpers."""

import numpy as np
import numpy.typing as npt


def one_hot(numbers: npt.ArrayLike, width: int, dtype: npt.DTypeLike) -> npt.NDArray:
    """
    Zeros with a single one, at each number.

    :param numbers: integers of any shape
    :param width: how many numbers there are
    :param dtype: of the result
    :return: ``[..., width]``

    Example::

        >>> one_hot([2, 0], 3, bool)
        array([[False, False,  True],
               [ True, False, False]])
    """
    indices = np.asarray(numbers)
    result = np.zeros((*indices.shape, width), dtype=dtype)
    # Flat positions, one multiply-free add a row: an index pair a row takes three times as long.
    result.reshape(-1)[np.arange(0, result.size, width) + indices.reshape(-1)] = 1
    return result
