"""Array helpers."""

import numpy as np
import numpy.typing as npt


def one_hot(numbers: npt.ArrayLike, width: int, dtype: npt.DTypeLike) -> npt.NDArray:
    """
    One-hot encode integers.

    :param numbers: integers from 0 to ``width - 1``, of any shape
    :param width: number of classes
    :param dtype: dtype of the result
    :return: ``[..., width]``

    Example::

        >>> one_hot([2, 0], 3, bool)
        array([[False, False,  True],
               [ True, False, False]])
    """
    indices = np.asarray(numbers)
    result = np.zeros((*indices.shape, width), dtype=dtype)
    # Flat indices: indexing with (row, column) pairs takes three times as long.
    result.reshape(-1)[np.arange(0, result.size, width) + indices.reshape(-1)] = 1
    return result
