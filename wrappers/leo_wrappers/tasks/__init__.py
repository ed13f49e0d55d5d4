"""Tasks: any reward, discount and termination, as functions of the transition, learned together as goals are."""

from leo_wrappers.tasks.known_rewards import GoalTasks, RewardTasks
from leo_wrappers.tasks.multi_objective import VectorRewardWrapper, multi_objective_env
from leo_wrappers.tasks.preferences import PreferenceTasks, preference_grid
from leo_wrappers.tasks.task_set import FunctionTasks, Task, TaskSet, TaskStep, Transition
from leo_wrappers.tasks.vector_wrapper import TaskVectorWrapper
from leo_wrappers.tasks.wrapper import TaskWrapper

__all__ = [
    "FunctionTasks",
    "GoalTasks",
    "PreferenceTasks",
    "RewardTasks",
    "Task",
    "TaskSet",
    "TaskStep",
    "TaskVectorWrapper",
    "TaskWrapper",
    "Transition",
    "VectorRewardWrapper",
    "multi_objective_env",
    "preference_grid",
]
