"""Hypothesis strategies for elements of spaces, actions, masks and goal sets."""

from functools import singledispatch
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector.utils import concatenate, create_empty_array

from leo_wrappers.goal_set import BoolArray, GoalSet
from leo_wrappers.point_goals import GridGoals, PointGoals
from leo_wrappers.predicate_goals import PredicateGoals
from leo_wrappers.testing._hypothesis import st, st_numpy
from leo_wrappers.validation import check_env, check_integer, check_iterable

# Limit of values without a bound: larger ones test floating point rather than environments.
UNBOUNDED_LIMIT = 1e4
# Up to this size, Boxes with different bounds use one strategy per element; larger ones are scaled from the unit cube.
MAX_ELEMENTWISE = 64
MAX_ITEMS = 4


@singledispatch
def from_space(space: gym.Space[Any]) -> st.SearchStrategy[Any]:
    """
    Generate elements of a Gymnasium space, with the types that ``space.sample()`` returns.

    Values without a bound are finite and within 10,000. Register strategies for custom spaces with ``@from_space.register``.

    :param space: any space

    Example::

        >>> from gymnasium import spaces
        >>> from hypothesis import find
        >>> find(from_space(spaces.Discrete(5, start=-2)), lambda action: action > 0)
        np.int64(1)
    """
    raise TypeError(
        f"expected one of Gymnasium's spaces, got {type(space).__name__}; register a strategy with @from_space.register"
    )


@from_space.register
def _(space: spaces.Box) -> st.SearchStrategy[npt.NDArray[Any]]:
    low, high = _finite_bounds(space)
    if space.dtype == np.bool_ and not low.any() and high.all():
        return st_numpy.arrays(np.bool_, space.shape)
    if low.size == 0 or ((low == low.flat[0]).all() and (high == high.flat[0]).all()):
        elements = _scalars(space.dtype, low.flat[0], high.flat[0]) if low.size else st.nothing()
        return st_numpy.arrays(space.dtype, space.shape, elements=elements)
    if low.size <= MAX_ELEMENTWISE:
        parts = [_scalars(space.dtype, a, b) for a, b in zip(low.flat, high.flat, strict=True)]
        return st.tuples(*parts).map(lambda values: np.array(values, dtype=space.dtype).reshape(space.shape))
    return st_numpy.arrays(np.float64, space.shape, elements=st.floats(0, 1)).map(lambda unit: _scaled(unit, low, high))


def _finite_bounds(space: spaces.Box) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return finite bounds: an unbounded side ends ``UNBOUNDED_LIMIT`` away from zero or from the other bound."""
    low, high = space.low, space.high
    if space.dtype.kind != "f":
        return low, high
    wide = space.dtype.type(UNBOUNDED_LIMIT)
    with np.errstate(over="ignore", invalid="ignore"):
        finite_low = np.where(np.isinf(low), np.minimum(-wide, high - wide), low)
        finite_high = np.where(np.isinf(high), np.maximum(wide, low + wide), high)
    limits: Any = np.finfo(space.dtype)  # type: ignore[type-var]
    smallest, largest = limits.min, limits.max
    finite_low, finite_high = np.clip(finite_low, smallest, largest), np.clip(finite_high, smallest, largest)
    return np.asarray(finite_low, dtype=space.dtype), np.asarray(finite_high, dtype=space.dtype)


def _scalars(dtype: np.dtype[Any], low: Any, high: Any) -> st.SearchStrategy[Any]:
    if dtype.kind == "b":
        return st.sampled_from([value for value in (False, True) if low <= value <= high])
    if dtype.kind in "iu":
        return st.integers(int(low), int(high))
    width = 8 * dtype.itemsize
    if width in (16, 32, 64):
        return st.floats(float(low), float(high), width=width)  # type: ignore[arg-type]
    # Wider than Hypothesis draws: clip, because a bound may be rounded outwards.
    return st.floats(float(low), float(high)).map(lambda value: np.clip(dtype.type(value), low, high))


def _scaled(unit: npt.NDArray[np.float64], low: npt.NDArray[Any], high: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Scale [0, 1] to the bounds, by a weighted mean because ``high - low`` may overflow."""
    wide_low, wide_high = low.astype(np.float64), high.astype(np.float64)
    mixed = wide_low * (1 - unit) + wide_high * unit
    if low.dtype.kind in "iub":
        mixed = np.rint(mixed)
        # float64 cannot hold every int64: where rounding would exceed a bound, use the bound.
        whole = np.where(mixed >= wide_high, 0, np.where(mixed <= wide_low, 0, mixed)).astype(low.dtype)
        return np.where(mixed >= wide_high, high, np.where(mixed <= wide_low, low, whole)).astype(low.dtype)
    return np.clip(mixed.astype(low.dtype), low, high)


@from_space.register
def _(space: spaces.Discrete) -> st.SearchStrategy[Any]:
    # Of the space's dtype, as from sample(): for environments, np.int64 differs from int (np.int64(1) == 1 is an np.bool_).
    start = int(space.start)
    dtype = np.dtype(space.dtype).type
    return st.integers(start, start + int(space.n) - 1).map(dtype)


@from_space.register
def _(space: spaces.MultiBinary) -> st.SearchStrategy[npt.NDArray[np.int8]]:
    return st_numpy.arrays(np.int8, space.shape, elements=st.integers(0, 1))


@from_space.register
def _(space: spaces.MultiDiscrete) -> st.SearchStrategy[npt.NDArray[Any]]:
    bounds = zip(space.start.flat, space.nvec.flat, strict=True)
    parts = [st.integers(int(start), int(start) + int(count) - 1) for start, count in bounds]
    return st.tuples(*parts).map(lambda values: np.array(values, dtype=space.dtype).reshape(space.shape))


@from_space.register
def _(space: spaces.Text) -> st.SearchStrategy[str]:
    characters = "".join(space.character_list)
    if not characters:
        return st.just("")
    return st.text(st.sampled_from(characters), min_size=space.min_length, max_size=space.max_length)


@from_space.register
def _(space: spaces.Dict) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({key: from_space(inner) for key, inner in space.spaces.items()})


@from_space.register
def _(space: spaces.Tuple) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(*(from_space(inner) for inner in space.spaces))


@from_space.register
def _(space: spaces.Sequence) -> st.SearchStrategy[Any]:
    items = st.lists(from_space(space.feature_space), max_size=MAX_ITEMS)
    return items.map(lambda values: _stack(space.feature_space, values)) if space.stack else items.map(tuple)


@from_space.register
def _(space: spaces.Graph) -> st.SearchStrategy[spaces.GraphInstance]:
    nodes = st.lists(from_space(space.node_space), min_size=1, max_size=MAX_ITEMS)
    if space.edge_space is None:
        return nodes.map(lambda values: spaces.GraphInstance(_stack(space.node_space, values), None, None))
    edge_space = space.edge_space

    def with_edges(values: list[Any]) -> st.SearchStrategy[spaces.GraphInstance]:
        end = st.integers(0, len(values) - 1)
        edges = st.lists(st.tuples(from_space(edge_space), end, end), max_size=MAX_ITEMS)
        return edges.map(lambda drawn: _graph(space, values, drawn))

    return nodes.flatmap(with_edges)


def _graph(space: spaces.Graph, nodes: list[Any], edges: list[tuple[Any, int, int]]) -> spaces.GraphInstance:
    batch = _stack(space.node_space, nodes)
    if not edges:
        return spaces.GraphInstance(batch, None, None)
    assert space.edge_space is not None
    features = _stack(space.edge_space, [edge for edge, _, _ in edges])
    return spaces.GraphInstance(batch, features, np.array([ends for _, *ends in edges], dtype=np.int32))


@from_space.register
def _(space: spaces.OneOf) -> st.SearchStrategy[tuple[np.int64, Any]]:
    return st.one_of(*(st.tuples(st.just(np.int64(index)), from_space(inner)) for index, inner in enumerate(space.spaces)))


def _stack(space: gym.Space[Any], values: list[Any]) -> Any:
    """Batch the elements as Gymnasium does for their space."""
    empty: Any = create_empty_array(space, len(values))
    return concatenate(space, values, empty) if values else empty


def action_sequences(
    env_or_space: gym.Env[Any, Any] | gym.Space[Any], max_size: int = 50, min_size: int = 0
) -> st.SearchStrategy[list[Any]]:
    """
    Generate lists of actions.

    :param env_or_space: the environment, or its action space
    :param max_size: maximum number of actions
    :param min_size: minimum number of actions

    Example::

        >>> from hypothesis import find
        >>> find(action_sequences(gym.make("CartPole-v1")), lambda actions: sum(actions) == 2)
        [np.int64(1), np.int64(1)]
    """
    if not isinstance(env_or_space, gym.Space):
        check_env(env_or_space)
    _check_sizes(min_size, max_size, smallest=0)
    space = env_or_space if isinstance(env_or_space, gym.Space) else env_or_space.action_space
    return st.lists(from_space(space), min_size=min_size, max_size=max_size)


def masks(num_goals: int, batch_shape: tuple[int, ...] = ()) -> st.SearchStrategy[BoolArray]:
    """
    Generate masks.

    :param num_goals: number of goals, G
    :param batch_shape: shape in front of the goal dimension

    Example::

        >>> from hypothesis import find
        >>> find(masks(3), lambda mask: mask[1])
        array([False,  True, False])
    """
    check_integer("num_goals", num_goals, 1)
    check_iterable("axes of batch_shape", batch_shape)
    for size in batch_shape:
        check_integer("each entry of batch_shape", size, 0)
    # With a fill value, a mask would not shrink goal by goal.
    return st_numpy.arrays(np.bool_, (*batch_shape, num_goals), fill=st.nothing())


def goal_names(min_size: int = 1, max_size: int = 8) -> st.SearchStrategy[tuple[str, ...]]:
    """
    Generate unique goal names, some with a family.

    :param min_size: minimum number of goals
    :param max_size: maximum number of goals
    """
    _check_sizes(min_size, max_size, smallest=1)
    word = st.text("abcxyz019-,", min_size=1, max_size=4)
    name = st.one_of(word, st.builds("{}/{}".format, word, word))
    return st.lists(name, min_size=min_size, max_size=max_size, unique=True).map(tuple)


def goal_sets(dimensions: int = 2, max_goals: int = 6) -> st.SearchStrategy[GoalSet]:
    """
    Generate goal sets of every kind, and unions of them, over signals of shape ``(..., dimensions)`` around zero.

    :param dimensions: length of a signal
    :param max_goals: maximum number of goals in a set; a union may have twice as many
    """
    check_integer("dimensions", dimensions, 1)
    check_integer("max_goals", max_goals, 1)
    simple = st.one_of(
        _point_goals(dimensions, max_goals), _grid_goals(dimensions, max_goals), _predicate_goals(dimensions, max_goals)
    )
    unions = st.tuples(_point_goals(dimensions, max_goals, "p"), _predicate_goals(dimensions, max_goals, "q/"))
    return st.one_of(simple, unions.map(lambda pair: pair[0] | pair[1]))


def _check_sizes(min_size: int, max_size: int, smallest: int) -> None:
    check_integer("min_size", min_size, smallest)
    check_integer("max_size", max_size, max(smallest, min_size))


def _coordinates(dimensions: int) -> st.SearchStrategy[tuple[float, ...]]:
    return st.tuples(*[st.integers(-40, 40).map(lambda quarter: quarter / 4)] * dimensions)


def _point_goals(dimensions: int, max_goals: int, family: str = "point") -> st.SearchStrategy[GoalSet]:
    return st.builds(
        PointGoals,
        st.lists(_coordinates(dimensions), min_size=1, max_size=max_goals, unique=True),
        tolerance=st.sampled_from([0.125, 1.0, 5.0]),
        metric=st.sampled_from(["l2", "linf"]),
        family=st.just(family),
    )


def _grid_goals(dimensions: int, max_goals: int) -> st.SearchStrategy[GoalSet]:
    cells = st.tuples(*[st.integers(1, max(1, int(max_goals ** (1 / dimensions))))] * dimensions)
    size = st.tuples(*[st.sampled_from([0.5, 4.0, 20.0])] * dimensions)
    return st.builds(lambda low, size, cells: GridGoals(low, np.add(low, size), cells), _coordinates(dimensions), size, cells)


def _predicate_goals(dimensions: int, max_goals: int, prefix: str = "") -> st.SearchStrategy[GoalSet]:
    test = st.tuples(st.integers(0, dimensions - 1), st.integers(-10, 10))
    named = st.lists(st.tuples(goal_names(1, 1), test), min_size=1, max_size=max_goals, unique_by=lambda pair: pair[0])
    return named.map(
        lambda pairs: PredicateGoals(
            {prefix + names[0]: _above(axis, bound) for names, (axis, bound) in pairs}, signal_shape=(dimensions,)
        )
    )


def _above(axis: int, bound: int) -> Any:
    return lambda signal: np.asarray(signal)[..., axis] > bound
