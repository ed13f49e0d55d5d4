"""Goal space of the Panda tasks."""

import numpy as np
import numpy.typing as npt

from leo_envs.common.goal_box import GoalBox
from leo_envs.common.helper_goals import HelperGoals, gripper_goals, make_helper_goals
from leo_envs.panda.tasks import PandaTask
from leo_envs.panda.workspace import nearest_reachable


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


def panda_helper_goals(task: PandaTask) -> HelperGoals:
    """
    Return the helping goals of a task with an object, leaving out positions that the gripper cannot reach.

    :param task: the task
    :return: the goals
    """
    gripper = gripper_goals(task.start, task.tolerance, task.fingers_move)
    reached = np.array([nearest_reachable(point) for point in gripper.points])
    near = np.linalg.norm(reached - gripper.points, axis=1) <= task.tolerance / 2
    gripper = gripper.subset(np.flatnonzero(near).tolist())
    return make_helper_goals(gripper, max(task.object_size[:2]), time_unit=1.0, grasps=task.fingers_move)


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
