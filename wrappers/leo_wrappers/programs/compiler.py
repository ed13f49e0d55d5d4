"""Compilation of programs into minimal deterministic automata."""

from collections.abc import Callable, Iterator, Sequence
from graphlib import TopologicalSorter
from typing import Any

from leo_wrappers.goal_set import check_goal_names
from leo_wrappers.programs.automaton import IntArray, ProgramAutomaton, as_ints
from leo_wrappers.programs.expressions import (
    And,
    Avoiding,
    Both,
    Except,
    Goals,
    Or,
    Program,
    Repeat,
    Then,
    as_program,
    repeat,
)
from leo_wrappers.programs.parser import parse_program
from leo_wrappers.validation import shorten

MAX_STATES = 2_000
"""Largest number of states that a program may need before minimization."""
MAX_INPUTS = 256
"""Largest number of goals, or families of goals, that a program may treat differently."""
MAX_NODES = 200_000
"""Largest number of decisions of all transitions."""

ACCEPTED, VIOLATED = "accepted", "violated"
State = Program | str
"""What is left of a program: itself before the first step."""


def compile_program(program: Program | str, goal_names: Sequence[str]) -> ProgramAutomaton:
    """
    Compile a program into the minimal automaton that accepts a trace when the program is complete.

    :param program: the program, or its text, see :func:`~leo_wrappers.programs.parse_program`
    :param goal_names: the names of all goals, in order
    :return: the automaton

    Example::

        >>> compile_program("a then b or c avoiding d", ("a", "b", "c", "d"))
        ProgramAutomaton('a then b or c avoiding d', 4 states)
    """
    names = check_goal_names(goal_names)
    program = parse_program(program, names) if isinstance(program, str) else as_program(program, "to compile")
    _check_size(program)
    compiler = _Compiler(program, names)
    automaton = compiler.automaton()
    if automaton.accepted == 0:
        part = next(part for part in _inside_out(program) if _Compiler(part, names).automaton().accepted == 0)
        raise ValueError(
            f"expected a program that can be completed, got {shorten(str(program))}, in which {shorten(str(part))} "
            "contradicts itself; remove what forbids its own completion"
        )
    return automaton


# Conditions of two parts.
_OPERATIONS: dict[type[Program], Callable[[bool, bool], bool]] = {
    Or: lambda one, other: one or other,
    And: lambda one, other: one and other,
    Except: lambda one, other: one and not other,
}


class _Diagrams:
    """Ordered, reduced decision diagrams over numbered inputs: equal functions have equal numbers."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def leaf(self, value: Any) -> int:
        """Return the diagram of a constant."""
        return self._number(("leaf", value))

    def decide(self, variable: int, low: int, high: int) -> int:
        """Return the diagram that is ``high`` if an input holds, and ``low`` if not."""
        return low if low == high else self._number((variable, low, high))

    def combine(self, operation: Callable[..., Any], *diagrams: int) -> int:
        """Return the diagram of an operation on the leaves of diagrams."""
        known: dict[tuple[int, ...], int] = {}

        def visit(arguments: tuple[int, ...]) -> int:
            if arguments not in known:
                items = [self.items[argument] for argument in arguments]
                variable = min((item[0] for item in items if item[0] != "leaf"), default=None)
                if variable is None:
                    known[arguments] = self.leaf(operation(*(value for _, value in items)))
                else:
                    sides = (
                        tuple(item[side] if item[0] == variable else a for item, a in zip(items, arguments, strict=True))
                        for side in (1, 2)
                    )
                    known[arguments] = self.decide(variable, *map(visit, sides))
            return known[arguments]

        return visit(diagrams)

    def leaves(self, diagram: int) -> list[Any]:
        """Return the values that a diagram can have."""
        seen, stack, values = {diagram}, [diagram], []
        while stack:
            item = self.items[stack.pop()]
            if item[0] == "leaf":
                values.append(item[1])
                continue
            new = {*item[1:]} - seen
            seen |= new
            stack += sorted(new)
        return values

    def table(self, roots: list[int]) -> tuple[IntArray, IntArray]:
        """Return the decisions that roots lead to, ``[M, 3]``, and the roots as row numbers; a leaf n is ``~n``."""
        decisions: set[int] = set()
        stack = list(roots)
        while stack:
            number = stack.pop()
            if self.items[number][0] != "leaf" and number not in decisions:
                decisions.add(number)
                stack += self.items[number][1:]
        rows = {number: row for row, number in enumerate(sorted(decisions))}

        def reference(number: int) -> int:
            return rows[number] if number in rows else ~self.items[number][1]

        nodes = [(self.items[number][0], *map(reference, self.items[number][1:])) for number in rows]
        return as_ints(nodes, 3), as_ints([reference(root) for root in roots])

    def _number(self, item: Any) -> int:
        if item not in self._numbers:
            if len(self.items) >= MAX_NODES:
                raise ValueError(
                    f"expected transitions of at most {MAX_NODES:,} decisions, got more; use conditions of fewer goals in one "
                    "state, or patterns"
                )
            self._numbers[item] = len(self.items)
            self.items.append(item)
        return self._numbers[item]


class _Compiler:
    """
    Takes the steps of a program symbolically, for all masks at once, until no new state is found.

    :param program: the program
    :param goal_names: names of the goals, in order
    """

    def __init__(self, program: Program, goal_names: tuple[str, ...]) -> None:
        self._program, self._goal_names = program, goal_names
        self._diagrams = _Diagrams()
        self._steps: dict[State, int] = {end: self._diagrams.leaf(end) for end in (ACCEPTED, VIOLATED)}
        sets = list(dict.fromkeys(self._goal_sets(program)))
        # Goals that belong to the same of these sets are one input: a family of many goals is as cheap as a single one.
        members: dict[tuple[int, ...], list[int]] = {}
        for goal_id in sorted(frozenset().union(*sets)):
            members.setdefault(tuple(number for number, ids in enumerate(sets) if goal_id in ids), []).append(goal_id)
        self._inputs = [goals for _, goals in sorted(members.items())]
        if len(self._inputs) > MAX_INPUTS:
            raise ValueError(
                f"expected a program that treats at most {MAX_INPUTS} goals or families differently, got {len(self._inputs)}; "
                "use patterns, or split it into several programs"
            )

    def automaton(self) -> ProgramAutomaton:
        """Return the minimal automaton."""
        states = self._reachable_states()
        blocks = self._minimize(states)
        # The numbers of an automaton: in the order in which its states are found, then the two ends.
        found = [
            block for block in dict.fromkeys(blocks[s] for s in states) if block not in (blocks[ACCEPTED], blocks[VIOLATED])
        ]
        numbers = {block: number for number, block in enumerate([*found, blocks[ACCEPTED], blocks[VIOLATED]])}
        first = {numbers[blocks[state]]: state for state in reversed(states)}
        roots = [
            self._diagrams.combine(lambda state: numbers[blocks[state]], self._steps[first[number]])
            for number in range(len(numbers))
        ]
        nodes, rows = self._diagrams.table(roots)
        inputs = tuple(as_ints(ids) for ids in self._inputs)
        return ProgramAutomaton(str(self._program), self._goal_names, inputs, nodes, rows)

    def _reachable_states(self) -> list[State]:
        """Return all that can be left of the program, in the order in which it is found, and the two ends."""
        found: dict[State, None] = {self._program: None}
        queue = [self._program]
        for state in queue:
            for following in self._diagrams.leaves(self._step(state)):
                if following not in found:
                    found[following] = None
                    if isinstance(following, Program):
                        queue.append(following)
        return list(found | {ACCEPTED: None, VIOLATED: None})

    def _minimize(self, states: list[State]) -> dict[State, int]:
        """Number the states so that those that accept the same traces, and only those, have the same number."""
        following = {state: set(self._diagrams.leaves(self._steps[state])) - {state} for state in states}
        numbers: dict[State, int] = {ACCEPTED: 0, VIOLATED: 1}
        steps = [self._diagrams.leaf(0), self._diagrams.leaf(1)]
        ways = [{0}, {1}]
        alike: dict[int, int] = {}
        # What is left of a program only gets less: a state is followed by itself and by states that are numbered already.
        for state in TopologicalSorter(following).static_order():
            if state in numbers:
                continue
            others = {numbers[other] for other in following[state]}
            # The same as a state that follows it, or as the violated one, if taking it for that one changes nothing.
            candidates = [number for number in (others | {1}) - {0} if ways[number] - {number} == others - {number}]
            same = [number for number in candidates if self._renamed(state, numbers, number) == steps[number]]
            number = same[0] if same else alike.setdefault(self._renamed(state, numbers, -1), len(steps))
            numbers[state] = number
            if number == len(steps):
                steps.append(self._renamed(state, numbers, number))
                ways.append(others | {number})
        return numbers

    def _renamed(self, state: State, numbers: dict[State, int], own: int) -> int:
        """Return the diagram of the numbers that follow a state, where its own is yet to be chosen."""
        return self._diagrams.combine(lambda other: own if other == state else numbers[other], self._steps[state])

    def _step(self, program: Program) -> int:
        """Return the diagram of what is left of a program after a step."""
        if program not in self._steps:
            self._steps[program] = self._new_step(program)
        return self._steps[program]

    def _new_step(self, program: Program) -> int:
        combine = self._diagrams.combine
        if program.is_condition:
            return combine(lambda holds: ACCEPTED if holds else program, self._holds(program))
        match program:
            case Then(first, second):
                return combine(lambda left: _then(left, second), self._step(first))
            case Repeat(first, times):
                return combine(lambda left: _then(left, repeat(first, times - 1)), self._step(first))
            case Or(one, other):
                return combine(_either, self._step(one), self._step(other))
            case Both(one, other):
                return combine(_both, self._step(one), self._step(other))
            case Avoiding(one, avoided):
                return combine(_avoiding, self._step(one), self._step(avoided))
        raise TypeError(f"expected one of the programs of this package, got {program!r}; join them by operators")

    def _holds(self, condition: Program) -> int:
        """Return the diagram of whether a state satisfies a condition."""
        diagrams = self._diagrams
        ids = self._union(condition)
        if ids is not None:
            # The goals of an input are in the same sets: either all of them satisfy the condition, or none.
            result = diagrams.leaf(False)
            for variable in reversed([number for number, goals in enumerate(self._inputs) if goals[0] in ids]):
                result = diagrams.decide(variable, result, diagrams.leaf(True))
            return result
        operation = _OPERATIONS[type(condition)]
        return diagrams.combine(operation, *(self._holds(part) for part in condition.parts))

    def _goal_sets(self, program: Program) -> Iterator[frozenset[int]]:
        """Yield the sets of goals of which any satisfies a part of the program, as large as possible."""
        ids = self._union(program)
        if ids is None:
            for part in program.parts:
                yield from self._goal_sets(part)
        else:
            yield ids

    def _union(self, program: Program) -> frozenset[int] | None:
        """Return the goals of which any satisfies a condition; None if the program is not of this kind."""
        if isinstance(program, Goals):
            return frozenset(program.ids(self._goal_names))
        if not (isinstance(program, Or) and program.is_condition):
            return None
        one, other = map(self._union, program.parts)
        return None if one is None or other is None else one | other


def _then(left: State, second: Program) -> State:
    return second if left == ACCEPTED else left if isinstance(left, str) else Then(left, second)


def _either(one: State, other: State) -> State:
    if ACCEPTED in (one, other):
        return ACCEPTED
    if isinstance(one, str) or isinstance(other, str):
        return other if isinstance(one, str) else one
    return one if one == other else Or(one, other)


def _both(one: State, other: State) -> State:
    if VIOLATED in (one, other):
        return VIOLATED
    if isinstance(one, str) or isinstance(other, str):
        return other if isinstance(one, str) else one
    return one if one == other else Both(one, other)


def _avoiding(program: State, avoided: State) -> State:
    if avoided == ACCEPTED or program == VIOLATED:
        return VIOLATED
    return program if isinstance(program, str) or isinstance(avoided, str) else Avoiding(program, avoided)


def _check_size(program: Program) -> int:
    """Return an upper bound of the number of states; raise a ``ValueError`` that names the first part that has too many."""
    sizes = [_check_size(part) for part in program.parts]
    if program.is_condition:
        return 1
    size = sum(sizes)
    if isinstance(program, Repeat):
        size *= program.times
    elif not isinstance(program, Then):
        # Each part may be in any of its states, or, except for what is avoided, at its end.
        size = (sizes[0] + 1) * (sizes[1] + 1) - 1
    if size > MAX_STATES:
        of = "" if len(sizes) == 1 else f", by parts of up to {sizes[0]:,} and {sizes[1]:,}"
        raise ValueError(
            f"expected a program of at most {MAX_STATES:,} states, got {shorten(str(program))}, which may have {size:,}{of}; "
            "split it into several programs, or join parts by then (>>), which adds states instead of multiplying them"
        )
    return size


def _inside_out(program: Program) -> Iterator[Program]:
    """Yield all parts of a program, each after its own parts."""
    for part in program.parts:
        yield from _inside_out(part)
    yield program
