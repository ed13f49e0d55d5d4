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


def finite_array(value: npt.ArrayLike, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray | None:
    """
    Convert numbers to an array.

    :param value: the numbers
    :param shape: shape of the array
    :param dtype: dtype of the array
    :return: the array; None if the value has another shape, or not only finite numbers
    """
    try:
        array = np.asarray(value, dtype=dtype)
    except (TypeError, ValueError):
        return None
    return array if array.shape == shape and np.isfinite(array).all() else None
