"""Goal space of the Panda tasks."""

import numpy as np
import numpy.typing as npt

from leo_envs.common.goal_box import GoalBox
from leo_envs.panda.tasks import PandaTask


def panda_goal_box(task: PandaTask) -> GoalBox:
    """
    Return the box of a task's goals, named in centimeters from the gripper's start position, objects' heights from the table.

    :param task: the task
    :return: the box
    """
    center, half_extent = np.array(task.goal_center), np.array(task.goal_range)
    if not task.has_object:
        return GoalBox(center - half_extent, center + half_extent, origin=task.start, family="gripper")
    # The position of an object is its center, which is half its height above the table when it rests there.
    resting = np.array([0.0, 0.0, task.object_size[2]])
    low = center - half_extent * [1, 1, 0] + resting
    origin = np.array([task.start[0], task.start[1], resting[2]])
    return GoalBox(low, center + half_extent + resting, origin=origin, family="air", ground="table")


def sample_goal(task: PandaTask, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """
    Sample a desired goal uniformly from the box; goals of objects are in the air with probability ``air_share``.

    :param task: the task
    :param generator: random generator of the environment
    :return: the goal ``[3]``
    """
    box = panda_goal_box(task)
    point = generator.uniform(box.low, box.high)
    if task.has_object and generator.uniform() >= task.air_share:
        point[2] = box.low[2]
    return point
