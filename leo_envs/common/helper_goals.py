"""Goals of tasks with an object besides its positions: of the gripper, of both, and of the object's motion."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from leo_envs.common.goal_box import GoalBox, Points
from leo_wrappers import GoalSet, PointGoals
from leo_wrappers.goal_set import BoolArray, UnionGoals
from leo_wrappers.validation import check_bool

GRIPPER, OBJECT, VELOCITY = slice(0, 3), slice(3, 6), slice(6, 9)
"""Parts of the signal of such a goal set: position of the gripper, position and velocity of the object."""
SIGNAL_SIZE = 9

GRIPPER_RANGE, GRIPPER_RESOLUTION = 0.15, 5
"""Largest offset of the gripper's goals from its start position along x and y, in meters, and their number along each."""
GRIPPER_HEIGHTS = {False: (0.0, 0.2, 3), True: (-0.1, 0.2, 4)}
"""Lowest and highest offset of the gripper's goals and number of layers; the gripper starts higher if it grasps."""
GAP = 0.035
"""Distance between the object's surface and the gripper in the goals "near", in meters."""
NEAR_TOLERANCE = 0.03
SPEED = 0.1
"""Smallest velocity of the object in the goals "moving", in meters per second."""


class PartGoals(GoalSet):
    """
    Goals over a part of the signal, or over the difference of two parts.

    :param goals: the goals
    :param part: their part of the signal
    :param origin: part that is subtracted; None to subtract nothing
    """

    def __init__(self, goals: GoalSet, part: slice, origin: slice | None = None) -> None:
        super().__init__(goals.names, descriptors=goals.descriptors, signal_shape=(SIGNAL_SIZE,))
        self.goals, self.part, self.origin = goals, part, origin

    def _test(self, signal: npt.NDArray[np.floating]) -> BoolArray:
        value = signal[..., self.part]
        return self.goals.achieved(value if self.origin is None else value - signal[..., self.origin])


class MovingGoals(GoalSet):
    """
    Goals "moving/x+", "moving/x-", ...: the velocity along an axis is at least a speed, in one of its directions.

    :param axes: axis and sign of each direction
    :param speed: the speed, in the units of the velocity
    """

    def __init__(self, axes: Sequence[tuple[int, int]], speed: float) -> None:
        names = [f"moving/{'xyz'[axis]}{'+' if sign > 0 else '-'}" for axis, sign in axes]
        self._axes, self._signs = (np.array(column) for column in zip(*axes, strict=True))
        super().__init__(names, descriptors=self._signs[:, None] * np.eye(3)[self._axes], signal_shape=(3,))
        self.speed = speed

    def _test(self, signal: npt.NDArray[np.floating]) -> BoolArray:
        return np.asarray(signal[..., self._axes] * self._signs >= self.speed)


class HelperGoals(UnionGoals):
    """
    Union of helping goals; see :func:`make_helper_goals`.

    :param parts: goals over the gripper's position, over that relative to the object, and over the object's velocity
    """

    def marker(self, goal_id: int, signal: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """
        Return where to draw the marker of a goal: where the gripper should be, or at the object that should move.

        :param goal_id: index of the goal in this set
        :param signal: the current signal ``[9]``
        :return: the position ``[3]``
        """
        gripper, near, _ = self._parts
        if goal_id < len(gripper):
            return gripper.descriptors[goal_id]
        if goal_id < len(gripper) + len(near):
            return signal[OBJECT] + near.descriptors[goal_id - len(gripper)]
        return signal[OBJECT]


def gripper_goals(start: npt.ArrayLike, tolerance: float, grasps: bool) -> PointGoals:
    """
    Create the goals "gripper/x+15,y-7.5,z+10": a grid of positions of the gripper.

    :param start: start position of the gripper ``[3]``
    :param tolerance: largest distance at which a goal counts as achieved
    :param grasps: whether the gripper grasps the object
    :return: the goals
    """
    bottom, top, layers = GRIPPER_HEIGHTS[grasps]
    low, high = (np.add(start, (side, side, z)) for side, z in ((-GRIPPER_RANGE, bottom), (GRIPPER_RANGE, top)))
    box = GoalBox(low, high, origin=start, family="gripper")
    return box.goals((GRIPPER_RESOLUTION, GRIPPER_RESOLUTION, layers), tolerance)


def wants_helpers(helper_goals: bool | None, has_object: bool, points: npt.ArrayLike | None) -> bool:
    """
    Decide whether an environment has helping goals; raise a ``ValueError`` if they are impossible.

    :param helper_goals: argument of the environment; None for the default
    :param has_object: whether the task has an object
    :param points: the user's goals, or None
    :return: whether to add them
    """
    if helper_goals is None:
        return has_object and points is None
    check_bool("helper_goals", helper_goals)
    if helper_goals and not has_object:
        raise ValueError("expected no helper_goals for a task without an object, got True; leave it out")
    return helper_goals


def make_helper_goals(gripper: PointGoals, half_extent: float, *, time_unit: float, grasps: bool) -> HelperGoals:
    """
    Join the goals that help to reach positions of an object.

    - "gripper/...": positions of the gripper.
    - "near/x-6,y+0,z+0", ...: the gripper on one side of the object or above it (or around it, if it grasps).
    - "moving/x+", ...: the object moves in this direction.

    :param gripper: positions of the gripper
    :param half_extent: half the size of the object
    :param time_unit: seconds per unit of time in the velocity of the signal
    :param grasps: whether the fingers open, so that the gripper can be around the object and lift it
    :return: goals over the signal
    """
    offset = half_extent + GAP
    sides: Points = offset * np.array([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, 1], *[[0, 0, 0]] * grasps])
    box = GoalBox([-offset] * 3, [offset] * 3, origin=[0, 0, 0], family="near")
    near = box.goals(1, min(NEAR_TOLERANCE, gripper.tolerance), points=sides)
    moving = MovingGoals([(0, 1), (0, -1), (1, 1), (1, -1), *[(2, 1)] * grasps], SPEED * time_unit)
    return HelperGoals([PartGoals(gripper, GRIPPER), PartGoals(near, GRIPPER, OBJECT), PartGoals(moving, VELOCITY)])
