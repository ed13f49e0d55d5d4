"""The four tasks of the Panda arm, as numbers: every one of them is an argument of the environment."""

from dataclasses import dataclass, fields
from itertools import product
from typing import Any

import numpy as np

from leo_envs.common.goal_box import Resolution, check_tolerance
from leo_envs.panda.workspace import HIGH, LOW, is_reachable

Vector = tuple[float, ...]


@dataclass(frozen=True)
class PandaTask:
    """
    Everything that a task consists of. Lengths are in metres; the origin is the middle of the arm's foot on the table, x
    points ahead, y to the left and z up.
    """

    start: Vector
    """Where the grip, the point between the fingertips, is when an episode begins."""
    goal_center: Vector
    """The middle of the box that goals lie in; for objects, the height of the table's surface (0) is where they rest."""
    goal_range: Vector
    """How far the box reaches from there, to both sides in x and y; in z up, and for the gripper's place down too."""
    resolution: Resolution
    """The points of the goal grid along x, y and z, or one number for all three."""
    has_object: bool = True
    """Whether the goal is about an object, not about the gripper."""
    fingers_move: bool = False
    """Whether the fingers obey the last number of the action; else they stay closed."""
    object_shape: str = "box"
    """"box" or "cylinder"."""
    object_size: Vector = (0.02, 0.02, 0.02)
    """Half the object's extent along x, y and z; a cylinder's radius is the first."""
    object_mass: float = 0.1
    """In kilograms."""
    friction: float = 1.0
    """The sliding friction of the object on the table and between the fingers."""
    object_center: Vector = (0.5, 0.0)
    """The middle of the places where the object starts."""
    object_range: Vector = (0.15, 0.15)
    """How far these places reach from there, to both sides in x and y."""
    object_distance: float = 0.1
    """How far from the gripper the object starts at least, seen from above."""
    air_share: float = 0.0
    """How often the goal that an episode asks for lies above the table, where goals do."""
    table: Vector = (-0.25, 0.9, 0.5)
    """Where the table begins and ends in x, and half its width in y."""
    tolerance: float = 0.05
    """The largest distance that counts as reached."""
    max_displacement: float = 0.05
    """How far the grip is asked to move in a step by an action of 1, along each axis."""


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
        # Rougher, and the cube tips over where it is pushed above its middle, and jams.
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
    Refuses numbers that make no scene: nothing to hold, a start out of reach, things beside the table.

    :param task: the task
    """
    _check_shapes(task)
    check_tolerance(task.tolerance)
    for name in ("object_mass", "friction", "max_displacement"):
        if not 0 < getattr(task, name) < np.inf:
            raise ValueError(f"expected {name} above 0, got {getattr(task, name)!r}; pass e.g. {name}=0.1")
    if task.object_shape not in ("box", "cylinder"):
        raise ValueError(f"expected object_shape to be 'box' or 'cylinder', got {task.object_shape!r}; choose one of these")
    if min(task.object_size) <= 0 or (task.fingers_move and task.object_size[1] >= 0.035):
        raise ValueError(
            f"expected object_size to be half extents above 0, and below 0.035 along y where the fingers must hold it, got "
            f"{task.object_size}; pass e.g. (0.02, 0.02, 0.02)"
        )
    if not is_reachable([task.start]):
        raise ValueError(
            f"expected start within the arm's reach, {LOW.tolist()} to {HIGH.tolist()} but for the far corners, got "
            f"{task.start}; move it closer"
        )
    if task.has_object:
        _check_on_table(task, "object_range", task.object_center, task.object_range)
        apart = np.abs(np.array(task.object_center) - task.start[:2]) + task.object_range
        # Places are drawn until one is far enough: not only a last corner must be.
        if task.object_distance > 0.95 * np.linalg.norm(apart):
            raise ValueError(
                f"expected object_distance within object_range, got {task.object_distance} and {task.object_range}; "
                "the object has no place to start, lower the distance"
            )
    _check_goals(task)


def _check_shapes(task: PandaTask) -> None:
    for field in fields(task):
        value: Any = getattr(task, field.name)
        default = getattr(PANDA_TASKS["reach"], field.name) if field.name != "resolution" else None
        if isinstance(default, tuple):
            array = np.asarray(value, dtype=np.float64)
            if array.shape != (len(default),) or not np.isfinite(array).all():
                raise ValueError(
                    f"expected {field.name} to be {len(default)} finite numbers, got {value!r}; pass e.g. {default}"
                )
    for name in ("goal_range", "object_range"):
        if min(getattr(task, name)) < 0:
            raise ValueError(f"expected {name} of 0 or more along each axis, got {getattr(task, name)}; pass half extents")


def _check_on_table(task: PandaTask, name: str, center: Vector, around: Vector) -> None:
    near, far, side = task.table
    if center[0] - around[0] < near or center[0] + around[0] > far or abs(center[1]) + around[1] > side:
        raise ValueError(
            f"expected {name} to stay on the table, x from {near} to {far} and y to {side}, got {center[:2]} and "
            f"{around[:2]} to each side; move it inside or pass a larger table"
        )


def _check_goals(task: PandaTask) -> None:
    center, around = np.array(task.goal_center), np.array(task.goal_range)
    if task.has_object and center[2] != 0:
        raise ValueError(
            f"expected goal_center at height 0, the table's, got {task.goal_center}; goal_range reaches up from it"
        )
    if task.has_object:
        _check_on_table(task, "goal_range", task.goal_center, task.goal_range)
    # What slides may go further than the arm; what is held or is the gripper itself may not.
    if not task.has_object or task.goal_range[2] > 0:
        low = center - around * [1, 1, not task.has_object]
        if task.has_object:
            low[2] += task.object_size[2]
        if not is_reachable(list(product(*zip(low, center + around, strict=True)))):
            raise ValueError(
                f"expected goals within the arm's reach, {LOW.tolist()} to {HIGH.tolist()} but for the far corners, got "
                f"{task.goal_center} and {task.goal_range} to each side; choose a smaller goal_range"
            )
