"""Acting on goal programs with the values of an agent that was trained on single goals."""

from leo_agents.programs.evaluate import ProgramResult, ProgramRun, evaluate_programs, run_program
from leo_agents.programs.goal_observations import collect_goal_observations
from leo_agents.programs.planner import ProgramPlanner
from leo_agents.programs.plots import plot_programs
from leo_agents.programs.policy import ProgramPolicy

__all__ = [
    "ProgramPlanner",
    "ProgramPolicy",
    "ProgramResult",
    "ProgramRun",
    "collect_goal_observations",
    "evaluate_programs",
    "plot_programs",
    "run_program",
]
