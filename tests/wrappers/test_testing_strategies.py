import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from leo_wrappers import GridGoals, PointGoals, PredicateGoals
from leo_wrappers.testing import (
    action_sequences,
    from_space,
    goal_names,
    goal_sets,
    masks,
)
from tests.corridor_env import CorridorEnv

quick = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


inf = np.inf
BOXES = [
    *(spaces.Box(-1, 1, (2,), dtype) for dtype in (np.float16, np.float32, np.float64, np.longdouble)),
    *(spaces.Box(0, 100, (2, 2), dtype) for dtype in (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint64)),
    spaces.Box(-inf, inf, (3,), np.float32),
    spaces.Box(-inf, inf, (), np.float64),
    spaces.Box(np.array([-inf, 5e5, -1.0]), np.array([-5e5, inf, 1.0]), dtype=np.float64),
    spaces.Box(-inf, inf, (2,), np.float16),
    spaces.Box(60_000, inf, (2,), np.float16),
    spaces.Box(-inf, 3, (2,), np.int32),
    spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max - 1, (2,), np.int64),
    spaces.Box(0, 1, (3,), bool),
    spaces.Box(np.array([False, True]), np.array([True, True]), dtype=np.bool_),
    spaces.Box(np.zeros((0,)), np.zeros((0,)), dtype=np.float32),
    spaces.Box(0, 255, (12, 12, 3), np.uint8),
    spaces.Box(-np.arange(100, dtype=np.float32), np.arange(100, dtype=np.float32)),
    spaces.Box(np.full(100, -inf), np.arange(100.0), dtype=np.float64),
    spaces.Box(np.arange(-50, 50), np.full(100, np.iinfo(np.int64).max - 1), dtype=np.int64),
    spaces.Box(np.full(100, np.finfo(np.float32).min), np.linspace(1, 3e38, 100, dtype=np.float32)),
]
DISCRETE = [
    spaces.Discrete(3),
    spaces.Discrete(4, start=-2),
    spaces.Discrete(1),
    spaces.MultiBinary(4),
    spaces.MultiBinary((2, 3)),
    spaces.MultiDiscrete([2, 5]),
    spaces.MultiDiscrete([[2, 1], [3, 4]], start=[[-1, 0], [7, -9]]),
    spaces.MultiDiscrete([3, 3], dtype=np.int8, start=[-128, 125]),
    spaces.Text(4),
    spaces.Text(3, min_length=0, charset="ab"),
]
inner = spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Box(-1, 1, (2,))})
COMPOSITE = [
    inner,
    spaces.Dict({"inner": inner, "t": spaces.Text(2)}),
    spaces.Tuple((spaces.Discrete(2), inner)),
    spaces.Sequence(spaces.Box(0, 1, (2,))),
    spaces.Sequence(inner),
    spaces.Sequence(spaces.Box(0, 1, (2,)), stack=True),
    spaces.Sequence(spaces.Discrete(3), stack=True),
    spaces.Sequence(inner, stack=True),
    spaces.Graph(spaces.Box(-1, 1, (3,)), spaces.Discrete(5)),
    spaces.Graph(spaces.Discrete(4), None),
    spaces.Graph(spaces.Box(-1, 1, (2,)), spaces.Box(0, 1, (1,))),
    spaces.OneOf((spaces.Discrete(2), spaces.Box(-1, 1, (2,)))),
]


def structure(value):
    """Return the nested types of a value."""
    if isinstance(value, dict):
        return {key: structure(part) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value), type(value.nodes)
    if isinstance(value, tuple):
        return tuple, {structure(part) if not isinstance(part, dict) else tuple(part) for part in value}
    return type(value), getattr(value, "dtype", None)


@pytest.mark.parametrize("space", [*BOXES, *DISCRETE, *COMPOSITE], ids=str)
@quick
@given(data=st.data())
def test_elements_have_the_types_of_samples(space, data):
    value = data.draw(from_space(space))
    assert space.contains(value)
    if isinstance(space, spaces.Box):
        assert (type(value), value.dtype) == (
            np.ndarray,
            space.dtype,
        )  # not compared with a sample: Gymnasium cannot sample long doubles
    elif not isinstance(space, spaces.Sequence | spaces.OneOf | spaces.Tuple):
        assert structure(value) == structure(space.sample())


@pytest.mark.parametrize(
    ("space", "condition"),
    [
        (spaces.Box(-3, 7, (2,)), lambda x: x[1] == 7),
        (spaces.Box(-3, 7, (2,)), lambda x: x[1] == -3),
        (spaces.Box(-3, 7, (2,), np.int8), lambda x: x[0] == 7 and x[1] == -3),
        (spaces.Box(np.full(100, -3), np.arange(100), dtype=np.int32), lambda x: (x == np.arange(100)).all()),
        (spaces.Discrete(4, start=-2), lambda x: x == 1),
        (spaces.MultiDiscrete([2, 5], start=[3, -1]), lambda x: (x == [4, 3]).all()),
        (spaces.MultiBinary((2, 2)), lambda x: x.all()),
        (spaces.Text(3, min_length=0, charset="ab"), lambda x: x == "bab"),
        (spaces.Text(3, min_length=0, charset="ab"), lambda x: x == ""),
        (spaces.Sequence(spaces.Discrete(3)), lambda x: x == (2, 0)),
        (spaces.OneOf((spaces.Discrete(2), spaces.Discrete(5))), lambda x: x == (1, 4)),
        (spaces.Graph(spaces.Discrete(4), spaces.Discrete(3)), lambda x: x.edges is not None and x.edge_links[0, 0] == 1),
    ],
    ids=lambda part: str(part) if isinstance(part, gym.Space) else "",
)
def test_extreme_elements_can_be_generated(space, condition):
    found = find(from_space(space), condition, settings=settings(max_examples=5000, deadline=None))
    assert condition(found)


def test_custom_space_must_be_registered():
    class Prime(gym.Space):
        def contains(self, x):
            return x in (2, 3, 5, 7)

    with pytest.raises(TypeError, match=r"got Prime; register a strategy with @from_space\.register"):
        from_space(Prime())
    from_space.register(Prime, lambda space: st.sampled_from([2, 3, 5, 7]))
    assert find(from_space(spaces.Dict(p=Prime())), lambda value: value["p"] > 4) == {"p": 5}


@quick
@given(masks(3, (2, 4)), goal_names(2, 5), action_sequences(CorridorEnv(), max_size=7, min_size=2))
def test_masks_names_and_actions_are_valid(mask, names, actions):
    assert mask.dtype == bool and mask.shape == (2, 4, 3)
    assert 2 <= len(set(names)) == len(names) <= 5 and isinstance(names, tuple) and all(names)
    assert 2 <= len(actions) <= 7 and all(action in spaces.Discrete(2) for action in actions)


@quick
@given(goal_sets(dimensions=3), st.lists(st.tuples(*[st.floats(-10, 10)] * 3), min_size=1, max_size=4))
def test_goal_sets_return_the_same_for_a_batch_as_for_each_signal(goals, signals):
    batch = goals.achieved(np.array(signals))
    assert batch.shape == (len(signals), len(goals.names)) and batch.dtype == bool
    for signal, row in zip(signals, batch, strict=True):
        assert np.array_equal(goals.achieved(np.array(signal)), row)


@pytest.mark.parametrize("kind", [PointGoals, GridGoals, PredicateGoals, "union"])
def test_every_kind_of_goal_set_is_generated(kind):
    is_kind = (lambda goals: type(goals) not in (PointGoals, GridGoals, PredicateGoals)) if kind == "union" else None
    find(goal_sets(), is_kind or (lambda goals: type(goals) is kind), settings=settings(max_examples=500, deadline=None))
