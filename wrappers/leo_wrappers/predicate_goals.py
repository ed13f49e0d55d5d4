"""Goals defined by functions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from leo_wrappers.goal_set import BoolArray, GoalSet
from leo_wrappers.validation import check_callable


class PredicateGoals(GoalSet):
    """
    Goals defined by one function per goal.

    A function maps the signal with its leading batch shape to bools of this shape: write ``s[..., 0] > 1``, not ``s[0] > 1``.
    The signal may be a dictionary of arrays.

    :param predicates: the function ``signal -> bool`` of each goal, by name
    :param descriptors: one vector per goal; one-hot if None
    :param signal_shape: the shape of one signal; checked on every call if given

    Example::

        >>> goals = PredicateGoals({"far/left": lambda s: s[..., 0] < -2, "far/right": lambda s: s[..., 0] > 2})
        >>> goals.achieved([[3.0], [0.0]])
        array([[False,  True],
               [False, False]])
    """

    def __init__(
        self,
        predicates: Mapping[str, Callable[[Any], npt.ArrayLike]],
        *,
        descriptors: npt.ArrayLike | None = None,
        signal_shape: Sequence[int] | None = None,
    ) -> None:
        if not isinstance(predicates, Mapping):
            raise TypeError(
                f"expected predicates by goal name, got {type(predicates).__name__}; pass a dictionary of functions"
            )
        for name, predicate in predicates.items():
            check_callable(f"the predicate of goal {name!r}", predicate)
        self._predicates = dict(predicates)
        super().__init__(self._predicates, descriptors=descriptors, signal_shape=signal_shape)

    def _test(self, signal: Any) -> BoolArray:
        columns: list[npt.NDArray[Any]] = []
        for name, predicate in self._predicates.items():
            column = np.asarray(predicate(signal))
            batch_shape = (
                self._batch_shape(signal) if self.signal_shape is not None else np.shape(columns[0] if columns else column)
            )
            if column.dtype != np.bool_ or column.shape != batch_shape:
                raise ValueError(
                    f"expected the predicate of goal {name!r} to return bool of shape {batch_shape}, got {column.dtype} of "
                    f"shape {column.shape}; index the signal from its end, as in s[..., 0] > 1"
                )
            columns.append(column)
        return np.stack(columns, axis=-1)
