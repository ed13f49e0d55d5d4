import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from leo_wrappers import GoalSet, GridGoals, PointGoals, PredicateGoals, goal_families, goal_index

coordinates = st.floats(-3, 3, width=32)


def left_right() -> PredicateGoals:
    return PredicateGoals({"x/left": lambda s: s[..., 0] < 0, "x/right": lambda s: s[..., 0] > 0}, signal_shape=(2,))


@pytest.mark.parametrize("batch_shape", [(), (3,), (2, 3), (0,)])
@pytest.mark.parametrize(
    "goals",
    [
        PointGoals([[0, 0], [1, 1], [2, 2]], tolerance=0.7),
        PointGoals([[0, 0], [1, 1], [2, 2]], tolerance=0.7, metric="linf"),
        GridGoals([-3, -3], [3, 3], [4, 5]),
        left_right(),
        GoalSet(["a", "b"], lambda s: s > 0, signal_shape=(2,)),
        left_right() | PointGoals([[0, 0]], 1.0),
        GridGoals([-3, -3], [3, 3], [4, 5]).subset([3, 17, 0]),
        PointGoals([[0, 0], [1, 1], [2, 2]], 0.7).subset([2, 0]),
    ],
    ids=lambda goals: type(goals).__name__ + str(len(goals)),
)
def test_batches_equal_rows_and_masks_are_fresh(goals, batch_shape):
    signal = np.random.default_rng(0).uniform(-3, 3, (*batch_shape, 2))
    mask = goals.achieved(signal)
    assert mask.dtype == np.bool_ and mask.shape == (*batch_shape, len(goals))
    for index in np.ndindex(batch_shape):
        np.testing.assert_array_equal(mask[index], goals.achieved(signal[index]))
    assert not np.shares_memory(mask, goals.achieved(signal))
    out = np.ones_like(mask)
    assert goals.achieved(signal, out=out) is out
    np.testing.assert_array_equal(out, mask)


@given(hnp.arrays(np.float64, (5, 3), elements=coordinates), hnp.arrays(np.float64, (40, 3), elements=coordinates))
def test_point_goals_equal_the_norm_exactly(signals, points):
    """Robotics environments compute rewards with this norm; masks must agree with them on the boundary too."""
    points = np.unique(points, axis=0)
    goals = PointGoals(points, tolerance=1.25, names=map(str, range(len(points))))
    distances = np.linalg.norm(signals[:, None] - points[None], axis=-1)
    np.testing.assert_array_equal(goals.achieved(signals), distances <= 1.25)
    np.testing.assert_array_equal(goals.reaches(signals[:, None], points[None]), distances <= 1.25)


def test_linf_and_the_boundary():
    goals = PointGoals([[0, 0]], tolerance=1.0, metric="linf")
    assert goals.achieved([1.0, -1.0]).all() and not goals.achieved([1.0001, 0]).any()
    assert PointGoals([[0, 0]], tolerance=1.0).achieved([1.0, 0.0]).all()
    assert not PointGoals([[0, 0]], tolerance=1.0).achieved([1.0, 0.1]).any()


def test_a_batch_larger_than_a_block():
    goals = PointGoals(np.arange(50_000)[:, None], tolerance=0.25)
    np.testing.assert_array_equal(goals.achieved([[3.0], [7.0], [7.5]]).nonzero(), [[0, 1], [3, 7]])


@given(hnp.arrays(np.float64, (30, 2), elements=st.floats(-1, 2, width=32)))
def test_every_point_of_the_box_lies_in_exactly_one_cell(points):
    goals = GridGoals([-1, -1], [2, 2], [7, 3])
    assert (goals.achieved(points).sum(axis=-1) == 1).all()
    np.testing.assert_array_equal(goals.achieved(points).argmax(axis=-1), goals.cell_of(points))


def test_grid_cells_faces_and_outside():
    goals = GridGoals([0, 0], [3, 2], [3, 2])
    np.testing.assert_array_equal(goals.centers, [[0.5, 0.5], [0.5, 1.5], [1.5, 0.5], [1.5, 1.5], [2.5, 0.5], [2.5, 1.5]])
    np.testing.assert_array_equal(goals.cell_of(goals.centers), np.arange(6))
    assert goals.names[goals.cell_of([1.0, 1.0])] == "cell/1,1", "a cell contains its lower faces"
    assert goals.names[goals.cell_of([3.0, 2.0])] == "cell/2,1", "the last cell contains the box's upper faces"
    faces = np.array([[x, y] for x in (0.0, 1.0, 3.0) for y in (0.0, 1.0, 2.0)])
    np.testing.assert_array_equal([goals.achieved(face) for face in faces], goals.achieved(faces))
    assert goals.cell_of([3.0001, 1.0]) == -1
    assert not goals.achieved([[3.0001, 1.0], [1e300, -np.inf]]).any()
    assert goals.reaches([0.1, 0.1], [0.9, 0.9]) and not goals.reaches([0.1, 0.1], [1.1, 0.9])
    assert not goals.reaches([-1, -1], [-1, -1]), "points outside are in no cell"


def test_names_index_and_families():
    goals = PointGoals([[0.0, -0.0], [1.5, 2.0]], 0.1)
    assert goals.names == ("point/0,0", "point/1.5,2")
    assert goals.index("point/1.5,2") == 1 and goals.index(np.int32(0)) == 0
    mixed = left_right() | PointGoals([[5, 5]], 0.1)
    assert {family: ids.tolist() for family, ids in mixed.families.items()} == {"x": [0, 1], "point": [2]}
    assert goal_families(["lonely"])["lonely"].tolist() == [0]


def test_union_and_subset_keep_tests_and_descriptors():
    union = left_right() | PointGoals([[5, 5], [0, 0]], 0.1) | GridGoals([0, 0], [1, 1], [1, 1])
    assert len(union) == 5 and len(np.unique(union.descriptors, axis=0)) == 5
    np.testing.assert_array_equal(union.achieved([5.0, 5.0]), [False, True, True, False, False])
    some = union.subset(["point/5,5", 0])
    assert some.names == ("point/5,5", "x/left")
    np.testing.assert_array_equal(some.achieved([-1.0, 0.0]), [False, True])
    np.testing.assert_array_equal(some.descriptors, union.descriptors[[2, 0]])
    points = PointGoals([[5, 5], [0, 0]], 0.1).subset([1])
    assert points.are_points and points.descriptors.tolist() == [[0, 0]]


def test_predicates_take_any_signal():
    goals = PredicateGoals({"rich": lambda s: s["gold"] > 3, "poor": lambda s: s["gold"] == 0})
    np.testing.assert_array_equal(goals.achieved({"gold": np.array([0, 5])}), [[False, True], [True, False]])
    np.testing.assert_array_equal(goals.descriptors, np.eye(2))


def test_goal_sets_can_be_pickled():
    union = cloudpickle.loads(cloudpickle.dumps(left_right() | PointGoals([[5, 5]], 0.1)))
    np.testing.assert_array_equal(union.achieved([5.0, 5.0]), [False, True, True])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PredicateGoals({}), "at least one goal"),
        (lambda: PointGoals([[0.0], [0.0]], 0.1), r"unique goal names, got duplicates of \['point/0'\]"),
        (lambda: left_right() | left_right(), "unique goal names"),
        (lambda: PointGoals([[0.0]], 0.1, names=["a", "b"]), "one name per point"),
        (lambda: PointGoals([[0.0]], 0.1, names=[""]), "non-empty strings"),
        (lambda: PointGoals([[0.0]], 0.1, names=[3]), "non-empty strings"),
        (lambda: PointGoals([[0.0]], 0.0), "tolerance above 0"),
        (lambda: PointGoals([[np.nan]], 0.1), "finite points"),
        (lambda: PointGoals([0.0], 0.1), "points of shape"),
        (lambda: PointGoals([[0.0]], 0.1, metric="l1"), "expected metric"),
        (lambda: GridGoals([0], [0], [1]), "low < high"),
        (lambda: GridGoals([0], [1], [0]), "cells along each axis of at least 1, got 0"),
        (lambda: GridGoals([0], [1, 2], [1]), "of one length"),
        (lambda: GridGoals([0], [1], [2], names=["a"]), "one name per cell"),
        (lambda: left_right() | PointGoals([[0.0]], 1.0), "goal sets over the same signal"),
        (lambda: GoalSet(["a"], lambda s: s > 0, descriptors=[[1.0], [2.0]]), r"descriptors of shape \(1, d\)"),
        (lambda: left_right().index("x/lft"), r"got 'x/lft'; nearest: \['x/left'"),
        (lambda: left_right().index(2), "goal id from 0 to 1, got 2"),
        (lambda: left_right().index(-1), "goal id from 0 to 1, got -1"),
        (lambda: left_right().subset(["nowhere"]), "got 'nowhere'"),
        (lambda: left_right().subset([]), "at least one goal"),
        (lambda: goal_index(["a"], "b"), "nearest"),
    ],
)
def test_bad_definitions(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("goal", [True, 1.0, None])
def test_a_goal_is_a_name_or_an_index(goal):
    with pytest.raises(TypeError, match="goal name or index"):
        left_right().index(goal)


@pytest.mark.parametrize(
    ("goals", "signal", "message"),
    [
        (PointGoals([[0.0, 0.0]], 0.1), [0.0], r"signal of shape \(..., 2\), got \(1,\)"),
        (PointGoals([[0.0, 0.0]], 0.1), 0.0, r"signal of shape \(..., 2\), got \(\)"),
        (PointGoals([[0.0, 0.0]], 0.1), [[0, 1], [np.nan, 1]], r"NaN at index \[1, 0\]"),
        (GridGoals([0], [1], [3]), [np.nan], "without NaN"),
        (left_right(), [0.0, np.nan], "without NaN"),
        (PredicateGoals({"g/first": lambda s: s[0] > 0}, signal_shape=(2,)), np.ones((3, 2)), "predicate of goal 'g/first'"),
        (PredicateGoals({"g/int": lambda s: (s[..., 0] > 0).astype(int)}), [1.0], "got int64"),
        (GoalSet(["a", "b"], lambda s: s > 0), [1.0, 2.0, 3.0], r"bool of shape \(2,\), got bool of shape \(3,\)"),
    ],
)
def test_bad_signals(goals, signal, message):
    with pytest.raises(ValueError, match=message):
        goals.achieved(signal)


def test_infinite_signals_achieve_nothing():
    with np.errstate(invalid="ignore"):
        assert not PointGoals([[0.0, 0.0]], 0.1).achieved([np.inf, -np.inf]).any()


def test_only_points_can_be_reached():
    with pytest.raises(TypeError, match="use PointGoals or GridGoals"):
        left_right().reaches([0, 0], [0, 0])
    with pytest.raises(TypeError, match="pass a function"):
        GoalSet(["a"])
    with pytest.raises(TypeError, match="got 'abc'; write"):
        GoalSet("abc", lambda s: s)


@pytest.mark.parametrize("size", [2, 3, 7, 8, 15, 64])
@pytest.mark.parametrize("count", [1, 5])
def test_single_points_and_batches_are_bitwise_equal(size: int, count: int) -> None:
    # NumPy sums eight or more numbers in an order that depends on the layout; the last bit matters on the boundary.
    generator = np.random.default_rng(size)
    points = generator.normal(size=(count, size))
    signals = generator.normal(size=(40, size))
    distances = np.sort(np.linalg.norm(signals[:, None] - points, axis=-1).reshape(-1))
    for tolerance in distances[::7]:
        goals = PointGoals(points, tolerance)
        batch = goals.achieved(signals)
        np.testing.assert_array_equal(batch, [goals.achieved(signal) for signal in signals])
        np.testing.assert_array_equal(batch, [[goals.reaches(signal, point) for point in points] for signal in signals])
        np.testing.assert_array_equal(batch, goals.reaches(signals[:, None], points))
        np.testing.assert_array_equal(batch, goals.achieved(signals[::-1])[::-1])
