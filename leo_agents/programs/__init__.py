"""Acting on goal programs with the values of an agent that was trained on single goals."""

from leo_agents.programs.evaluate import ProgramResult, evaluate_programs
from leo_agents.programs.planner import ProgramPlanner
from leo_agents.programs.policy import ProgramPolicy

__all__ = ["ProgramPlanner", "ProgramPolicy", "ProgramResult", "evaluate_programs"]
