"""Evaluation of all goals, with reports, learning curves and figures."""

from leo_agents.evaluation.callbacks import GoalEvalCallback
from leo_agents.evaluation.curves import LearningCurve, read_curve
from leo_agents.evaluation.diagnostics import GoalDiagnostics, GoalDiagnosticsCallback
from leo_agents.evaluation.evaluate import evaluate_goals
from leo_agents.evaluation.goal_report import GoalReport
from leo_agents.evaluation.intervals import wilson_interval
from leo_agents.evaluation.multi_objective import (
    PreferenceReport,
    TaskResult,
    evaluate_preferences,
    evaluate_tasks,
    hypervolume,
    pareto_front,
)
from leo_agents.evaluation.plots import plot_comparison, plot_learning_curve, plot_report
from leo_agents.evaluation.random_goals import evaluate_random_goals
from leo_agents.evaluation.report_text import compare_reports

__all__ = [
    "GoalDiagnostics",
    "GoalDiagnosticsCallback",
    "GoalEvalCallback",
    "GoalReport",
    "LearningCurve",
    "PreferenceReport",
    "TaskResult",
    "compare_reports",
    "evaluate_goals",
    "evaluate_preferences",
    "evaluate_random_goals",
    "evaluate_tasks",
    "hypervolume",
    "pareto_front",
    "plot_comparison",
    "plot_learning_curve",
    "plot_report",
    "read_curve",
    "wilson_interval",
]
