"""Programs as text: ``"cell/0,0 then cell/15,15 or cell/3,2 avoiding cell/8,8"``."""

import difflib
import operator
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn

from leo_wrappers.goal_set import check_goal_names
from leo_wrappers.programs.expressions import WORDS, Avoidance, Goals, Program, goal, repeat
from leo_wrappers.validation import check_instance

MAX_PARENTHESES = 50
"""Largest number of parentheses in each other."""

_TOKEN = re.compile(r'(?P<bracket>[()])|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s()"]+)')


def _avoiding(program: Any, avoided: Any) -> Any:
    return program & ~avoided


def _repeat(program: Any, times: str) -> Program:
    return repeat(program, int(times))


# Words that join two parts, from the loosest to the tightest.
_LEVELS: tuple[dict[str, Callable[[Any, Any], Any]], ...] = (
    {"avoiding": _avoiding},
    {"then": operator.rshift},
    {"or": operator.or_},
    {"and": operator.and_, "plus": operator.add},
    {"except": operator.sub},
)


def parse_program(text: str, goal_names: Sequence[str] | None = None) -> Program:
    """
    Parse a program written as text. The words, from the tightest to the loosest:

    - ``a 3 times``: repeated
    - ``a except b``: both conditions in one state, the second one negated
    - ``not a``: never, until the part that it is joined to by "and" is complete
    - ``a and b``: in one state; ``a plus b``: both, in any order
    - ``a or b``: either
    - ``a then b``: one after the other
    - ``a avoiding b``: everything before the word without b

    Parentheses group. ``*`` in a name stands for any characters. Names with spaces, parentheses or quotes, and the words
    themselves, are written in double quotes, with a backslash before a quote or a backslash.

    :param text: the program
    :param goal_names: the names of all goals, to check those of the program; None leaves this to the compilation
    :return: the program

    Example::

        >>> parse_program("a then b or c") == goal("a") >> (goal("b") | goal("c"))
        True
    """
    check_instance("a program", text, str, "pass text such as 'cell/0,0 then cell/3,2'")
    parser = _Parser(text, None if goal_names is None else check_goal_names(goal_names))
    program = parser.level(0)
    if parser.token.kind != "end":
        parser.fail('the end, or one of "then", "or", "and", "plus", "avoiding", "except"', "join the parts by one of these")
    if isinstance(program, Avoidance):
        parser.token = _Token("program", text.strip(), len(text) - len(text.lstrip()))
        parser.fail("a program that something completes", 'join "not" by "and" to what shall be done meanwhile')
    return program


class _Token(NamedTuple):
    """A word, name or bracket of the text."""

    kind: str
    """"word", "name", "bracket", "end"; and "program" for a whole part."""
    text: str
    position: int


class _Parser:
    """Recursive descent over the tokens of a text."""

    def __init__(self, text: str, goal_names: tuple[str, ...] | None) -> None:
        self._text, self._goal_names = text, goal_names
        self._position = self._depth = 0
        self._advance()

    def level(self, number: int) -> Program | Avoidance:
        """Parse parts that are joined by the words of a level."""
        if number == len(_LEVELS) - 1 and self.token[:2] == ("word", "not"):
            return self._negation(number)
        below = self._repeated if number == len(_LEVELS) - 1 else lambda: self.level(number + 1)
        first = self.token.position
        result = below()
        while self.token.kind == "word" and self.token.text in _LEVELS[number]:
            word = self._advance()
            start = self.token.position
            part = below()
            join = partial(_LEVELS[number][word.text], result, part)
            result = self._apply(join, first, start)
        return result

    def fail(self, expected: str, remedy: str) -> NoReturn:
        """Raise a ``ValueError`` that points at the current token."""
        got = "the end of the text" if self.token.kind == "end" else repr(self.token.text)
        near = difflib.get_close_matches(self.token.text.lower(), WORDS, n=1) if self.token.kind == "name" else []
        remedy = f"write {near[0]!r}, or {remedy}" if near else remedy
        raise self._error(self.token.position, f"expected {expected}", f"got {got}", remedy)

    def _negation(self, number: int) -> Avoidance:
        self._advance()
        start = self.token.position
        part = self.level(number)
        negated: Avoidance = self._apply(lambda: ~part, start)
        return negated

    def _repeated(self) -> Program | Avoidance:
        start = self.token.position
        result = self._atom()
        while self.token.kind == "name" and self.token.text.isdecimal():
            count = self._advance()
            if self.token[:2] != ("word", "times"):
                self.fail('"times" after a number', f"write {count.text} times, or join another goal by a word")
            self._advance()
            result = self._apply(partial(_repeat, result, count.text), start)
        return result

    def _atom(self) -> Program | Avoidance:
        token = self.token
        if token[:2] == ("bracket", "("):
            self._depth += 1
            if self._depth > MAX_PARENTHESES:
                self.fail(f"at most {MAX_PARENTHESES} parentheses in each other", "use fewer")
            self._advance()
            result = self.level(0)
            if self.token[:2] != ("bracket", ")"):
                self.fail(f'")" for the "(" at column {token.position + 1}', "close it")
            self._depth -= 1
        elif token.kind == "name":
            condition = self._apply(lambda: goal(token.text), token.position)
            if self._goal_names is not None and isinstance(condition, Goals):
                names = self._goal_names
                self._apply(lambda: condition.ids(names), token.position)
            result = condition
        else:
            self.fail('a goal, "not" or "("', f"write the words {', '.join(WORDS)} in double quotes if they are names")
        self._advance()
        return result

    def _apply(self, make: Callable[[], Any], position: int, second: int | None = None) -> Any:
        """Make a part of the program; its errors point at its position, or at that of its second operand."""
        try:
            return make()
        except (TypeError, ValueError) as error:
            expected, _, rest = str(error).partition(", got ")
            if second is not None and " before " not in expected:
                position = second
            raise self._error(position, expected, *f"got {rest}".split("; ", 1)) from None

    def _advance(self) -> _Token:
        """Read the next token; return the one before it."""
        before = getattr(self, "token", _Token("end", "", 0))
        while self._text[self._position : self._position + 1].isspace():
            self._position += 1
        start, match = self._position, _TOKEN.match(self._text, self._position)
        if match is None:
            self.token = _Token("end" if start == len(self._text) else "quote", self._text[start:], start)
            if start < len(self._text):
                self.fail("a second double quote", "close the name")
            return before
        self._position = match.end()
        if match["quoted"] is not None:
            self.token = _Token("name", re.sub(r"\\(.)", r"\1", match["quoted"]), start)
        else:
            kind = "bracket" if match["bracket"] else "word" if match["bare"] in WORDS else "name"
            self.token = _Token(kind, match[0], start)
        return before

    def _error(self, position: int, expected: str, got: str, remedy: str = "see parse_program") -> ValueError:
        line = re.sub(r"\s", " ", self._text)  # one line, in which each character is as wide as in the next one
        return ValueError(f"{expected} at column {position + 1}, {got}; {remedy}\n  {line}\n  {' ' * position}^")
