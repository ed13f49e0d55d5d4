"""Programs as Python expressions; :mod:`~leo_wrappers.programs.definition` defines what they mean."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

from leo_wrappers.goal_set import goal_index
from leo_wrappers.validation import check_instance, check_integer, shorten

MAX_DEPTH = 200
"""Largest number of nested parts."""
MAX_TIMES = 1_000
"""Largest number of repetitions."""
WORDS = ("then", "or", "and", "plus", "not", "avoiding", "except", "times")
"""Words of programs as text; goals of these names are written in double quotes."""


@dataclass(frozen=True)
class Program:
    """
    Base class of programs, made by :func:`goal`, :func:`repeat` and the operators ``>> | + & - ~``.

    Example::

        >>> wood, table, zombie = goal("wood"), goal("table"), goal("near/zombie")
        >>> print(~zombie & (wood >> table))
        wood then table avoiding near/zombie
    """

    depth: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        depth = 1 + max((part.depth for part in self.parts), default=0)
        if depth > MAX_DEPTH:
            raise ValueError(
                f"expected a program of at most {MAX_DEPTH} nested parts, got more; use repeat, or split it into several "
                "programs"
            )
        object.__setattr__(self, "depth", depth)

    @property
    def parts(self) -> "tuple[Program, ...]":
        """The programs that this one is made of."""
        values = (getattr(self, entry.name) for entry in fields(self) if entry.init)
        return tuple(value for value in values if isinstance(value, Program))

    @property
    def is_condition(self) -> bool:
        """Whether a single state decides it."""
        return False

    def __rshift__(self, other: "Program") -> "Program":
        return Then(self, as_program(other, "after >>"))

    def __or__(self, other: "Program") -> "Program":
        return Or(self, as_program(other, "after |"))

    def __add__(self, other: "Program") -> "Program":
        return Both(self, as_program(other, "after +"))

    def __sub__(self, other: "Program") -> "Program":
        return Except(_condition(self, "before -"), _condition(other, "after -"))

    def __and__(self, other: "Program | Avoidance") -> "Program":
        if isinstance(other, Avoidance):
            return Avoiding(self, other.avoided)
        if isinstance(self, Avoiding):
            return (self.program & other) & Avoidance(self.avoided)
        if isinstance(other, Avoiding):
            return (self & other.program) & Avoidance(other.avoided)
        return And(_condition(self, "before &"), _condition(other, "after &"))

    def __invert__(self) -> "Avoidance":
        return Avoidance(self)

    def __bool__(self) -> NoReturn:
        raise TypeError(_not_a_truth_value(self))

    def __str__(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True)
class Avoidance:
    """
    What a program must not complete, ``~program``. It completes nothing itself: join it with ``&`` to a program.

    :param avoided: the program to avoid
    """

    avoided: Program

    def __and__(self, other: "Program | Avoidance") -> "Program | Avoidance":
        return Avoidance(self.avoided | other.avoided) if isinstance(other, Avoidance) else as_program(other, "after &") & self

    def __rshift__(self, other: Any) -> Any:
        raise TypeError(_not_a_program(self, "before >>"))

    def __or__(self, other: Any) -> Any:
        raise TypeError(_not_a_program(self, "before |"))

    __add__ = __sub__ = __or__

    def __bool__(self) -> NoReturn:
        raise TypeError(_not_a_truth_value(self))

    def __invert__(self) -> Any:
        raise TypeError(f"expected a program after ~, got {self}; write {self.avoided} to require it")

    def __str__(self) -> str:
        return f"not {_in_parentheses(self.avoided, 4)}"


@dataclass(frozen=True)
class Goals(Program):
    """Condition: any of the goals of a name, or of a pattern in which ``*`` stands for any characters, is achieved."""

    pattern: str

    @property
    def is_condition(self) -> bool:
        """Whether a single state decides it: yes."""
        return True

    def ids(self, goal_names: Sequence[str]) -> list[int]:
        """
        Return the goals that are meant.

        :param goal_names: the names of all goals, in order
        :return: their indices, at least one
        """
        if "*" not in self.pattern or self.pattern in goal_names:
            return [goal_index(goal_names, self.pattern)]
        pattern = re.compile(".*".join(re.escape(piece) for piece in self.pattern.split("*")))
        ids = [number for number, name in enumerate(goal_names) if pattern.fullmatch(name)]
        if not ids:
            raise ValueError(
                f"expected a pattern of some of the {len(goal_names)} goal names, got {self.pattern!r}, which fits none; "
                f"names are e.g. {list(goal_names[:3])}"
            )
        return ids

    def __str__(self) -> str:
        if re.fullmatch(r'[^\s()"]+', self.pattern) and self.pattern not in WORDS:
            return self.pattern
        escaped = self.pattern.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'


@dataclass(frozen=True)
class _Pair(Program):
    """Two programs joined by a word; a higher rank binds more tightly in text."""

    one: Program
    other: Program
    word = ""
    rank = 0

    def __str__(self) -> str:
        return f"{_in_parentheses(self.one, self.rank)} {self.word} {_in_parentheses(self.other, self.rank + 1)}"


class Then(_Pair):
    """First one program, then the other."""

    word, rank = "then", 1


class Or(_Pair):
    """Either of two programs."""

    word, rank = "or", 2

    @property
    def is_condition(self) -> bool:
        """Whether a single state decides it."""
        return self.one.is_condition and self.other.is_condition


class Both(_Pair):
    """Both programs, in any order."""

    word, rank = "plus", 3


class And(_Pair):
    """Condition: both conditions hold in one state."""

    word, rank = "and", 3

    @property
    def is_condition(self) -> bool:
        """Whether a single state decides it: yes."""
        return True


class Except(And):
    """Condition: the first condition holds in a state and the other one does not."""

    word, rank = "except", 4


@dataclass(frozen=True)
class Avoiding(Program):
    """A program that is violated when another one is complete no later."""

    program: Program
    avoided: Program

    def __str__(self) -> str:
        return f"{_in_parentheses(self.program, 0)} avoiding {_in_parentheses(self.avoided, 1)}"


@dataclass(frozen=True)
class Repeat(Program):
    """A program several times in a row."""

    program: Program
    times: int

    def __str__(self) -> str:
        return f"{_in_parentheses(self.program, 5)} {self.times} times"


def goal(name: str) -> Program:
    """
    Create the condition that a goal is achieved.

    :param name: name of a goal, or a pattern for any of several goals, in which ``*`` stands for any characters
    :return: the condition

    Example::

        >>> print(goal("cell/0,0") >> (goal("cell/*") - goal("cell/0,0")))
        cell/0,0 then cell/* except cell/0,0
    """
    check_instance("the name of a goal", name, str, "pass a name such as 'cell/0,0', or a pattern such as 'cell/*'")
    if not name or not name.isprintable():
        raise ValueError(f"expected a non-empty, printable name of a goal, got {name!r}; see goal_names")
    return Goals(name)


def repeat(program: Program, times: int) -> Program:
    """
    Create a program that must be completed several times in a row.

    :param program: the program
    :param times: how many times
    :return: the program
    """
    as_program(program, "as the first argument of repeat")
    check_integer("times", times, 1, MAX_TIMES)
    return program if times == 1 else Repeat(program, int(times))


def as_program(value: Any, where: str) -> Program:
    """Return a value; raise a ``TypeError`` unless it is a program."""
    if isinstance(value, Avoidance):
        raise TypeError(_not_a_program(value, where))
    check_instance(f"the operand {where}", value, Program, "make one with goal(name), or parse_program for text")
    program: Program = value
    return program


def _condition(value: Any, where: str) -> Program:
    program = as_program(value, where)
    if not program.is_condition:
        raise TypeError(
            f"expected a condition of a single state {where}, got {shorten(str(program))}; use + (plus) for both in any "
            "order, >> (then) for one after the other, or ~ (not) for what must not happen"
        )
    return program


def _not_a_truth_value(program: "Program | Avoidance") -> str:
    # Otherwise ``a and b`` would be b alone, without a word.
    return (
        f"expected a program where programs are joined, got the truth value of {shorten(str(program))}; use the operators "
        "& | ~ and not the words and, or, not, or write the program as text"
    )


def _not_a_program(avoidance: Avoidance, where: str) -> str:
    return (
        f"expected a program {where}, got {shorten(str(avoidance))}, which is complete before anything happens; join it "
        "with & (and) to what shall be done meanwhile"
    )


def _in_parentheses(program: Program, rank: int) -> str:
    """Return the text of a program as an operand that binds at least as tightly as a rank."""
    own = program.rank if isinstance(program, _Pair) else 0 if isinstance(program, Avoiding) else 5
    return f"({program})" if own < rank else str(program)
