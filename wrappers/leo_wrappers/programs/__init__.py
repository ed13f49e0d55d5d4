"""Goal programs: sequences, choices, repetitions and avoidance of goals, as automata over the masks of an environment."""

from leo_wrappers.programs.automaton import ProgramAutomaton
from leo_wrappers.programs.compiler import compile_program
from leo_wrappers.programs.definition import first_completion
from leo_wrappers.programs.expressions import Avoidance, Program, goal, repeat
from leo_wrappers.programs.parser import parse_program
from leo_wrappers.programs.vector_wrapper import ProgramVectorWrapper
from leo_wrappers.programs.wrapper import ProgramWrapper

__all__ = [
    "Avoidance",
    "Program",
    "ProgramAutomaton",
    "ProgramVectorWrapper",
    "ProgramWrapper",
    "compile_program",
    "first_completion",
    "goal",
    "parse_program",
    "repeat",
]
