"""Goal sets: names, a vectorized success test and a descriptor per goal."""

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import islice
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt

from leo_wrappers.validation import check_callable, check_integer, check_iterable, float_array, shorten

BoolArray = npt.NDArray[np.bool_]
_ARRAY_LIKE = (np.ndarray, np.generic, list, tuple, int, float)

Goal = str | int
"""A goal given by its name or by its index."""

MAX_GOALS = 1_000_000
"""Largest size of a goal set."""


def check_goal_names(names: Iterable[str], kind: str = "goal") -> tuple[str, ...]:
    """
    Validate goal names: at least one, non-empty, printable and unique.

    :param names: the goal names, in order
    :param kind: what has these names, for error messages
    :return: the names as a tuple
    """
    check_iterable(f"{kind} names", names)
    result = tuple(islice(names, MAX_GOALS + 1))
    if not result:
        raise ValueError(f"expected at least one {kind}, got an empty {kind} set; give it names")
    check_goal_count(len(result))
    wrong = [name for name in result if not isinstance(name, str) or not name]
    if wrong:
        raise ValueError(f"expected {kind} names to be non-empty strings, got {wrong[:5]!r}; name every {kind}")
    unprintable = [name for name in result if not name.isprintable()]
    if unprintable:
        raise ValueError(
            f"expected {kind} names without line breaks and control characters, which break tables and reports, got "
            f"{unprintable[:5]!r}; rename them"
        )
    duplicates = sorted(name for name, count in Counter(result).items() if count > 1)
    if duplicates:
        raise ValueError(f"expected unique {kind} names, got duplicates of {duplicates[:5]!r}; rename or drop them")
    return result


def check_goal_count(count: int) -> None:
    """
    Raise a ``ValueError`` for more than ``MAX_GOALS`` goals.

    :param count: number of goals
    """
    if count > MAX_GOALS:
        raise ValueError(
            f"expected at most {MAX_GOALS:,} goals, got {count:,} or more: every step returns a mask of one bool "
            "per goal; use a coarser grid or fewer goals"
        )


def goal_index(goal_names: Sequence[str], goal: Goal) -> int:
    """
    Return the index of a goal given by name or index; the error for an unknown name lists the nearest ones.

    :param goal_names: the names of all goals, in order
    :param goal: a name, or an index from 0
    :return: the index of the goal

    Example::

        >>> goal_index(("cell/0,0", "cell/0,1"), "cell/0,1")
        1
    """
    if isinstance(goal_names, str) or not isinstance(goal_names, Sequence):
        raise TypeError(f"expected a sequence of goal names, got {shorten(goal_names)}; pass a tuple or list")
    if isinstance(goal, str):
        try:
            return goal_names.index(goal)
        except ValueError:
            near = difflib.get_close_matches(goal, goal_names, n=3, cutoff=0.4) or list(goal_names[:3])
            raise ValueError(f"expected one of the {len(goal_names)} goal names, got {goal!r}; nearest: {near}") from None
    if isinstance(goal, bool | np.bool_) or not isinstance(goal, int | np.integer):
        raise TypeError(f"expected a goal name or index, got {goal!r} of type {type(goal).__name__}; see goal_names")
    if not 0 <= goal < len(goal_names):
        raise ValueError(f"expected a goal id from 0 to {len(goal_names) - 1}, got {int(goal)}; see goal_names")
    return int(goal)


def goal_families(goal_names: Sequence[str]) -> dict[str, npt.NDArray[np.int64]]:
    """
    Group goal ids by family, the part of the name before the first "/" (or the whole name if there is none).

    :param goal_names: the names of all goals, in order
    :return: the goal ids of each family, in order of first appearance

    Example::

        >>> {family: ids.tolist() for family, ids in goal_families(("a/0", "b", "a/1")).items()}
        {'a': [0, 2], 'b': [1]}
    """
    members: dict[str, list[int]] = {}
    for goal_id, name in enumerate(check_goal_names(goal_names)):
        members.setdefault(name.split("/", 1)[0], []).append(goal_id)
    return {family: np.array(ids, dtype=np.int64) for family, ids in members.items()}


class GoalSet:
    """
    Finite, ordered set of named goals, tested on some signal (an observation, an ``achieved_goal``, a state).

    :class:`PointGoals`, :class:`GridGoals` and :class:`PredicateGoals` cover most needs; this class takes any vectorized test.
    Use ``|`` to join sets over the same signal and :meth:`subset` to select goals.

    :param names: unique names; ``"family/detail"`` defines families
    :param test: maps a signal with any leading batch shape to ``bool[..., G]``; a subclass overrides ``_test`` instead
    :param descriptors: one vector per goal, for networks that take the goal as input; one-hot if None
    :param signal_shape: the shape of one signal; checked on every call if given

    Example::

        >>> import numpy as np
        >>> sides = GoalSet(["side/left", "side/right"], lambda x: np.stack([x[..., 0] < 0, x[..., 0] > 0], axis=-1))
        >>> sides.achieved(np.array([[-1.0], [2.0]]))
        array([[ True, False],
               [False,  True]])
        >>> sides.index("side/right")
        1
    """

    def __init__(
        self,
        names: Iterable[str],
        test: Callable[[Any], npt.ArrayLike] | None = None,
        *,
        descriptors: npt.ArrayLike | None = None,
        signal_shape: Sequence[int] | None = None,
    ) -> None:
        self.names = check_goal_names(names)
        self.signal_shape = None if signal_shape is None else _checked_shape(signal_shape)
        if type(self)._test is GoalSet._test:
            check_callable("the test of a GoalSet", test)
        self._user_test = test
        if descriptors is not None:
            # Overrides the cached property, whose default is one-hot.
            self.__dict__["descriptors"] = self._checked_descriptors(descriptors)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        names = ", ".join(self.names[:3]) + (", ..." if len(self) > 3 else "")
        return f"{type(self).__name__}({len(self)} goals: {names})"

    @property
    def are_points(self) -> bool:
        """Whether goals are points of the signal's space, so that :meth:`reaches` accepts any point of it."""
        return False

    @property
    def num_goals(self) -> int:
        """The number of goals, G."""
        return len(self.names)

    @cached_property
    def descriptors(self) -> npt.NDArray[np.float32]:
        """One vector per goal, float32 ``[G, d]``."""
        return np.eye(len(self), dtype=np.float32)

    @cached_property
    def families(self) -> dict[str, npt.NDArray[np.int64]]:
        """Goal ids by family, see :func:`goal_families`."""
        return goal_families(self.names)

    def achieved(self, signal: Any, out: BoolArray | None = None) -> BoolArray:
        """
        Test which goals each signal achieves.

        :param signal: one signal or a batch, with any leading shape
        :param out: bool array ``[..., G]`` to write to; a new one if None
        :return: the masks, bool ``[..., G]``
        """
        signal = self._checked_signal(signal)
        if out is None:
            return self._test(signal)
        mask = self._test(signal)
        if not isinstance(out, np.ndarray) or out.dtype != np.bool_ or out.shape != mask.shape:
            raise ValueError(
                f"expected out to be a bool array of shape {mask.shape}, got {shorten(out)}; leave it out for a new one"
            )
        out[...] = mask
        return out

    def reaches(self, signal: npt.ArrayLike, point: npt.ArrayLike) -> BoolArray:
        """
        Test whether each signal reaches a point, which need not be one of the goals.

        :param signal: signals ``[..., d]``
        :param point: points of the same space, broadcast against the signals
        :return: bool ``[...]``
        """
        raise TypeError(f"expected goals that are points of a space, got a {type(self).__name__}; use PointGoals or GridGoals")

    def index(self, goal: Goal) -> int:
        """
        Return the index of a goal given by name or index, see :func:`goal_index`.

        :param goal: a name or an index
        :return: the index of the goal
        """
        if isinstance(goal, str) and goal in self._ids:
            return self._ids[goal]
        return goal_index(self.names, goal)

    def subset(self, goals: Iterable[Goal]) -> "GoalSet":
        """
        Return the set of the given goals, in the given order.

        :param goals: names or indices
        :return: a new goal set over the same signal
        """
        return SubsetGoals(self, self._indices(goals))

    def __or__(self, other: "GoalSet") -> "GoalSet":
        if not isinstance(other, GoalSet):
            return NotImplemented
        return UnionGoals([self, other])

    def _indices(self, goals: Iterable[Goal]) -> list[int]:
        check_iterable("goal names or indices", goals)
        return [self.index(goal) for goal in goals]

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {name: goal_id for goal_id, name in enumerate(self.names)}

    def _test(self, signal: Any) -> BoolArray:
        assert self._user_test is not None
        result = np.asarray(self._user_test(signal))
        expected = (
            (*self._batch_shape(signal), len(self)) if self.signal_shape is not None else (*result.shape[:-1], len(self))
        )
        if result.dtype != np.bool_ or result.shape != expected:
            raise ValueError(
                f"expected the goals' test to return bool of shape {expected}, got {result.dtype} of shape {result.shape}; "
                "write it for any leading batch shape, with the goals on the last axis"
            )
        # The user's function may return the same array each time, or a view of the signal; every mask must be a new array.
        return result.copy()

    def _batch_shape(self, signal: npt.NDArray[Any]) -> tuple[int, ...]:
        assert self.signal_shape is not None
        return signal.shape[: signal.ndim - len(self.signal_shape)]

    def _checked_signal(self, signal: Any) -> Any:
        """Check the shape of an array signal and that it has no NaN; other structures are returned unchecked."""
        if self.signal_shape is None and not isinstance(signal, _ARRAY_LIKE):
            return signal
        array = np.asarray(signal)
        shape = self.signal_shape
        if shape is not None and (array.ndim < len(shape) or array.shape[array.ndim - len(shape) :] != shape):
            raise ValueError(
                f"expected a signal of shape (..., {', '.join(map(str, shape))}), got {array.shape}; "
                "pass `signal` to select the part of the state that the goals are defined on"
            )
        if shape is not None and array.dtype.kind not in "biuf":
            raise ValueError(f"expected a signal of numbers, got {array.dtype}; pass `signal` to select or convert it")
        if array.dtype.kind == "f" and isnan(_quick_sum(array)) and np.isnan(array).any():
            where = np.argwhere(np.isnan(array))[0].tolist()
            raise ValueError(f"expected a signal without NaN, got NaN at index {where}; check the state of the environment")
        return array

    def _checked_descriptors(self, descriptors: npt.ArrayLike) -> npt.NDArray[np.float32]:
        array = float_array("descriptors", descriptors).astype(np.float32)
        if array.ndim != 2 or array.shape[0] != len(self):
            raise ValueError(
                f"expected descriptors of shape ({len(self)}, d), one row per goal, got {array.shape}; "
                "omit them for one-hot vectors"
            )
        return array


def _quick_sum(array: npt.NDArray[np.floating]) -> float:
    """Return a sum that is NaN if any entry is (or for inf - inf); much cheaper than ``isnan(array).any()`` for one signal."""
    if array.ndim == 1 and len(array) <= 32:
        return sum(array.tolist())
    return float(np.add.reduce(array, axis=None))


def _checked_shape(shape: Sequence[int]) -> tuple[int, ...]:
    check_iterable("the axes of signal_shape", shape)
    for size in shape:
        check_integer("each entry of signal_shape", size, 0)
    return tuple(shape)


class SubsetGoals(GoalSet):
    """
    Selected goals of another set, in a given order; see :meth:`GoalSet.subset`.

    :param parent: the whole set
    :param goal_ids: indices of the goals to keep
    """

    def __init__(self, parent: GoalSet, goal_ids: Sequence[int]) -> None:
        self._parent = parent
        self._goal_ids = np.array(goal_ids, dtype=np.int64)
        names = [parent.names[goal_id] for goal_id in goal_ids]
        super().__init__(names, signal_shape=parent.signal_shape)

    @property
    def are_points(self) -> bool:
        """Whether the goals of the whole set are points."""
        return self._parent.are_points

    def reaches(self, signal: npt.ArrayLike, point: npt.ArrayLike) -> BoolArray:
        """Test whether each signal reaches a point, as the whole set does."""
        return self._parent.reaches(signal, point)

    @cached_property
    def descriptors(self) -> npt.NDArray[np.float32]:
        """The descriptors of the selected goals in the whole set, float32 ``[G, d]``."""
        return self._parent.descriptors[self._goal_ids]

    def _test(self, signal: Any) -> BoolArray:
        return np.take(self._parent._test(signal), self._goal_ids, axis=-1)


class UnionGoals(GoalSet):
    """
    Union of goal sets over the same signal; see ``a | b``.

    A descriptor starts with a one-hot vector of the part that the goal comes from, followed by one block of columns per part
    with the descriptor of this part, so goals of different parts never have equal descriptors.

    :param parts: the sets to join; their names must be unique across all parts
    """

    def __init__(self, parts: Sequence[GoalSet]) -> None:
        # Flatten, so that a | b | c is one union of three parts.
        self._parts: list[GoalSet] = [
            inner for part in parts for inner in (part._parts if isinstance(part, UnionGoals) else [part])
        ]
        shapes = {part.signal_shape for part in self._parts if part.signal_shape is not None}
        if len(shapes) > 1:
            raise ValueError(
                f"expected goal sets over the same signal, got signals of shapes {sorted(shapes)}; join sets of one shape only"
            )
        names = [name for part in self._parts for name in part.names]
        super().__init__(names, signal_shape=next(iter(shapes), None))

    @cached_property
    def descriptors(self) -> npt.NDArray[np.float32]:
        """One-hot vector of the part, then one block of columns per part, float32 ``[G, d]``."""
        widths = [part.descriptors.shape[1] for part in self._parts]
        result = np.zeros((len(self), len(widths) + sum(widths)), dtype=np.float32)
        row, column = 0, len(widths)
        for number, (part, width) in enumerate(zip(self._parts, widths, strict=True)):
            result[row : row + len(part), number] = 1.0
            result[row : row + len(part), column : column + width] = part.descriptors
            row, column = row + len(part), column + width
        return result

    def _test(self, signal: Any) -> BoolArray:
        return np.concatenate([part._test(signal) for part in self._parts], axis=-1)
