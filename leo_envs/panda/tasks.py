"""Parameters of the four Panda tasks, all of which are arguments of the environment."""

from dataclasses import dataclass, fields
from itertools import product
from typing import Any

import numpy as np

from leo_envs.common.goal_box import Resolution, check_tolerance
from leo_envs.panda.workspace import HIGH, LOW, is_reachable
from leo_wrappers.validation import (
    check_at_least,
    check_bool,
    check_choice,
    check_finite,
    check_fraction,
    check_positive,
    float_array,
)

Vector = tuple[float, ...]


@dataclass(frozen=True)
class PandaTask:
    """
    Parameters of a task. Lengths are in meters; the origin is the center of the arm's base on the table, x points forward, y
    left and z up.
    """

    start: Vector
    """Start position of the grip, the point between the fingertips."""
    goal_center: Vector
    """Center of the goal box; for objects, height 0 is their resting position on the table."""
    goal_range: Vector
    """Half extent of the goal box along x and y; along z, extent above the center (for the gripper, also below it)."""
    resolution: Resolution
    """Number of points of the goal grid along x, y and z, or one number for all three."""
    has_object: bool = True
    """Whether goals are positions of an object instead of the gripper."""
    fingers_move: bool = False
    """Whether the last entry of the action controls the fingers; otherwise they stay closed."""
    object_shape: str = "box"
    """"box" or "cylinder"."""
    object_size: Vector = (0.02, 0.02, 0.02)
    """Half extent of the object along x, y and z; the first is the radius of a cylinder."""
    object_mass: float = 0.1
    """Mass of the object, in kilograms."""
    friction: float = 1.0
    """Sliding friction coefficient of the object."""
    object_center: Vector = (0.5, 0.0)
    """Center of the start positions of the object, in x and y."""
    object_range: Vector = (0.15, 0.15)
    """Half extent of the start positions of the object along x and y."""
    object_distance: float = 0.1
    """Smallest horizontal distance between the start positions of object and gripper."""
    air_share: float = 0.0
    """Probability that the desired goal of an object is above the table."""
    table: Vector = (-0.25, 0.9, 0.5)
    """Smallest and largest x of the table, and half its width in y."""
    tolerance: float = 0.05
    """Largest distance at which a goal counts as achieved."""
    max_displacement: float = 0.05
    """Displacement of the grip by an action of 1, along each axis."""


PANDA_TASKS = {
    "reach": PandaTask(
        start=(0.5, 0.0, 0.25),
        goal_center=(0.5, 0.0, 0.25),
        goal_range=(0.15, 0.15, 0.15),
        resolution=(5, 5, 5),
        has_object=False,
    ),
    "push": PandaTask(
        start=(0.5, 0.0, 0.03),
        goal_center=(0.5, 0.0, 0.0),
        goal_range=(0.15, 0.15, 0.0),
        resolution=(7, 7, 1),
        # With more friction, the cube tips over when it is pushed above its center.
        friction=0.3,
    ),
    "slide": PandaTask(
        start=(0.4, 0.0, 0.03),
        goal_center=(0.9, 0.0, 0.0),
        goal_range=(0.2, 0.2, 0.0),
        resolution=(9, 9, 1),
        object_shape="cylinder",
        object_size=(0.03, 0.03, 0.015),
        friction=0.1,
        object_center=(0.5, 0.0),
        object_range=(0.05, 0.1),
        object_distance=0.08,
        table=(-0.25, 1.5, 0.5),
    ),
    "pick_and_place": PandaTask(
        start=(0.5, 0.0, 0.2),
        goal_center=(0.5, 0.0, 0.0),
        goal_range=(0.15, 0.15, 0.3),
        resolution=(5, 5, 4),
        fingers_move=True,
        object_distance=0.0,
        air_share=0.5,
    ),
}


def check_task(task: PandaTask) -> None:
    """
    Raise ValueError if a parameter is invalid: shapes and ranges, positions outside the arm's reach or off the table.

    :param task: the task
    """
    _check_shapes(task)
    check_tolerance(task.tolerance)
    for name in ("object_mass", "friction", "max_displacement"):
        check_finite(name, getattr(task, name))
        check_positive(name, getattr(task, name))
    check_fraction("air_share", task.air_share)
    check_at_least("object_distance", task.object_distance, 0.0)
    for name in ("has_object", "fingers_move"):
        check_bool(name, getattr(task, name))
    check_choice("object_shape", task.object_shape, ("box", "cylinder"))
    if min(task.object_size) <= 0 or (task.fingers_move and task.object_size[1] >= 0.035):
        raise ValueError(
            f"expected object_size to be half extents above 0, and below 0.035 along y for grasping, got {task.object_size}; "
            "pass e.g. (0.02, 0.02, 0.02)"
        )
    if not is_reachable([task.start]):
        raise ValueError(
            f"expected start within the arm's reach, {LOW.tolist()} to {HIGH.tolist()} except the far corners, got "
            f"{task.start}; move it closer"
        )
    if task.has_object:
        _check_on_table(task, "object_range", task.object_center, task.object_range)
        farthest = np.abs(np.array(task.object_center) - task.start[:2]) + task.object_range
        # The margin keeps rejection sampling of the start position short.
        if task.object_distance > 0.95 * np.linalg.norm(farthest):
            raise ValueError(
                f"expected object_distance within object_range, got {task.object_distance} and {task.object_range}; "
                "the object would have no start position, lower the distance"
            )
    _check_goals(task)


def _check_shapes(task: PandaTask) -> None:
    for field in fields(task):
        value: Any = getattr(task, field.name)
        default = getattr(PANDA_TASKS["reach"], field.name) if field.name != "resolution" else None
        if isinstance(default, tuple):
            array = float_array(field.name, value)
            if array.shape != (len(default),):
                raise ValueError(f"expected {field.name} to be {len(default)} numbers, got {value!r}; pass e.g. {default}")
    for name in ("goal_range", "object_range"):
        if min(getattr(task, name)) < 0:
            raise ValueError(f"expected {name} of 0 or more along each axis, got {getattr(task, name)}; pass half extents")


def _check_on_table(task: PandaTask, name: str, center: Vector, half_extent: Vector) -> None:
    near, far, side = task.table
    if center[0] - half_extent[0] < near or center[0] + half_extent[0] > far or abs(center[1]) + half_extent[1] > side:
        raise ValueError(
            f"expected {name} to stay on the table, x from {near} to {far} and y from {-side} to {side}, got the center "
            f"{center[:2]} and half extents {half_extent[:2]}; move it inside or pass a larger table"
        )


def _check_goals(task: PandaTask) -> None:
    center, half_extent = np.array(task.goal_center), np.array(task.goal_range)
    if task.has_object and center[2] != 0:
        raise ValueError(
            f"expected goal_center at height 0, that of the table, got {task.goal_center}; use goal_range for goals in the air"
        )
    if task.has_object:
        _check_on_table(task, "goal_range", task.goal_center, task.goal_range)
    # Objects can slide beyond the arm's reach; a lifted object and the gripper cannot leave it.
    if not task.has_object or task.goal_range[2] > 0:
        low = center - half_extent * [1, 1, not task.has_object]
        if task.has_object:
            low[2] += task.object_size[2]
        if not is_reachable(list(product(*zip(low, center + half_extent, strict=True)))):
            raise ValueError(
                f"expected goals within the arm's reach, {LOW.tolist()} to {HIGH.tolist()} except the far corners, got the "
                f"center {task.goal_center} and half extents {task.goal_range}; choose a smaller goal_range"
            )
