"""Environments that report, at every step, which of all goals were achieved."""

from leo_wrappers.goal_conditioned import GoalConditionedWrapper
from leo_wrappers.goal_set import GoalSet, goal_families, goal_index
from leo_wrappers.infos import InfoList, achieved_from_infos
from leo_wrappers.multi_goal import MultiGoalWrapper
from leo_wrappers.point_goals import GridGoals, PointGoals
from leo_wrappers.predicate_goals import PredicateGoals
from leo_wrappers.selection import (
    CallableGoals,
    FixedGoal,
    GoalSelector,
    LeastAchievedGoals,
    RoundRobinGoals,
    SeenGoals,
    UniformGoals,
    make_selector,
)

__version__ = "0.1.0"

__all__ = [
    "CallableGoals",
    "FixedGoal",
    "GoalConditionedWrapper",
    "GoalSelector",
    "GoalSet",
    "GridGoals",
    "InfoList",
    "LeastAchievedGoals",
    "MultiGoalWrapper",
    "PointGoals",
    "PredicateGoals",
    "RoundRobinGoals",
    "SeenGoals",
    "UniformGoals",
    "achieved_from_infos",
    "goal_families",
    "goal_index",
    "make_selector",
]
