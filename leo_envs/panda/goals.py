"""Where the goals of the Panda arm lie."""

import numpy as np
import numpy.typing as npt

from leo_envs.common.goal_box import GoalBox
from leo_envs.panda.tasks import PandaTask


def panda_goal_box(task: PandaTask) -> GoalBox:
    """
    The box of a task's goals, named by centimetres from where the gripper starts; heights of objects from the table.

    :param task: the task
    :return: the box
    """
    center, around = np.array(task.goal_center), np.array(task.goal_range)
    if not task.has_object:
        return GoalBox(center - around, center + around, origin=task.start, family="gripper")
    # An object's place is its middle, which is half its height above the table when it rests there.
    resting = np.array([0.0, 0.0, task.object_size[2]])
    low = center - around * [1, 1, 0] + resting
    origin = np.array([task.start[0], task.start[1], resting[2]])
    return GoalBox(low, center + around + resting, origin=origin, family="air", ground="table")


def draw_goal(task: PandaTask, generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """
    A random point of the box; of what can be lifted, a part of them on the table.

    :param task: the task
    :param generator: of the episode
    :return: ``[3]``
    """
    box = panda_goal_box(task)
    point = generator.uniform(box.low, box.high)
    if task.has_object and generator.uniform() >= task.air_share:
        point[2] = box.low[2]
    return point
