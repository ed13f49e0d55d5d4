"""Multi-goal Gymnasium environments: every step reports which goals of a finite set were achieved."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leo_wrappers.any_goal import AnyGoalWrapper as AnyGoalWrapper
    from leo_wrappers.checks import ContractChecker as ContractChecker
    from leo_wrappers.checks import ContractError as ContractError
    from leo_wrappers.checks import check_multigoal_env as check_multigoal_env
    from leo_wrappers.checks import check_multigoal_vec_env as check_multigoal_vec_env
    from leo_wrappers.curricula import FrontierGoals as FrontierGoals
    from leo_wrappers.curricula import IntermediateGoals as IntermediateGoals
    from leo_wrappers.curricula import LearningProgressGoals as LearningProgressGoals
    from leo_wrappers.goal_conditioned import GoalConditionedWrapper as GoalConditionedWrapper
    from leo_wrappers.goal_selector import GoalSelector as GoalSelector
    from leo_wrappers.goal_selector import SeenGoals as SeenGoals
    from leo_wrappers.goal_selector import UniformGoals as UniformGoals
    from leo_wrappers.goal_sequence import GoalSequenceWrapper as GoalSequenceWrapper
    from leo_wrappers.goal_set import GoalSet as GoalSet
    from leo_wrappers.goal_set import goal_families as goal_families
    from leo_wrappers.goal_set import goal_index as goal_index
    from leo_wrappers.infos import InfoList as InfoList
    from leo_wrappers.infos import achieved_from_infos as achieved_from_infos
    from leo_wrappers.multi_goal import MultiGoalWrapper as MultiGoalWrapper
    from leo_wrappers.novelty import NoveltyWrapper as NoveltyWrapper
    from leo_wrappers.point_goals import GridGoals as GridGoals
    from leo_wrappers.point_goals import PointGoals as PointGoals
    from leo_wrappers.predicate_goals import PredicateGoals as PredicateGoals
    from leo_wrappers.selection import CallableGoals as CallableGoals
    from leo_wrappers.selection import FixedGoal as FixedGoal
    from leo_wrappers.selection import LeastAchievedGoals as LeastAchievedGoals
    from leo_wrappers.selection import MixtureGoals as MixtureGoals
    from leo_wrappers.selection import RoundRobinGoals as RoundRobinGoals
    from leo_wrappers.selection import make_goal_selector as make_goal_selector

__version__ = "0.1.0"

# Imported lazily: this package contains a pytest plugin, so every pytest run of every project imports it and must not have to
# load NumPy and Gymnasium.
_EXPORTS = {
    "any_goal": ("AnyGoalWrapper",),
    "checks": ("ContractChecker", "ContractError", "check_multigoal_env", "check_multigoal_vec_env"),
    "curricula": ("FrontierGoals", "IntermediateGoals", "LearningProgressGoals"),
    "goal_conditioned": ("GoalConditionedWrapper",),
    "goal_sequence": ("GoalSequenceWrapper",),
    "goal_selector": ("GoalSelector", "SeenGoals", "UniformGoals"),
    "goal_set": ("GoalSet", "goal_families", "goal_index"),
    "infos": ("InfoList", "achieved_from_infos"),
    "multi_goal": ("MultiGoalWrapper",),
    "novelty": ("NoveltyWrapper",),
    "point_goals": ("GridGoals", "PointGoals"),
    "predicate_goals": ("PredicateGoals",),
    "selection": (
        "CallableGoals",
        "FixedGoal",
        "LeastAchievedGoals",
        "MixtureGoals",
        "RoundRobinGoals",
        "make_goal_selector",
    ),
}
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
