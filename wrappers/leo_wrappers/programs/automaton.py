"""Deterministic finite automata over masks."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from leo_wrappers.goal_set import BoolArray
from leo_wrappers.validation import int_array

IntArray = npt.NDArray[np.int64]

INITIAL = 0
"""The state in which every automaton starts."""


@dataclass(frozen=True, eq=False)
class ProgramAutomaton:
    """
    Minimal deterministic automaton of a program, made by :func:`~leo_wrappers.programs.compile_program`.

    States are numbers from 0, the initial one. The last two are :attr:`accepted` and :attr:`violated`, from which no other
    can be completed; neither is left again. A transition depends on the mask only through :attr:`inputs`, and is a decision
    diagram over them: a program over few of many goals needs no table of all masks.

    :param program: the program as text
    :param goal_names: names of the goals, in order
    :param inputs: sets of goal ids. Input k of a mask is whether any goal of set k is achieved
    :param nodes: decisions ``[M, 3]``: an input, and where to go on without and with it: a node, or ``~state``
    :param roots: the first node of each state, or ``~state``, ``[S]``

    Example::

        >>> import numpy as np
        >>> from leo_wrappers.programs import compile_program
        >>> automaton = compile_program("a then b", ("a", "b", "c"))
        >>> state = automaton.step(0, np.array([True, False, False]))
        >>> int(automaton.step(state, np.array([False, True, False]))) == automaton.accepted
        True
    """

    program: str
    goal_names: tuple[str, ...]
    inputs: tuple[IntArray, ...]
    nodes: IntArray
    roots: IntArray

    def __repr__(self) -> str:
        return f"ProgramAutomaton({self.program!r}, {self.num_states} states)"

    @property
    def num_states(self) -> int:
        """Number of states, S."""
        return len(self.roots)

    @property
    def accepted(self) -> int:
        """The state in which the program is complete."""
        return len(self.roots) - 2

    @property
    def violated(self) -> int:
        """The state in which the program cannot be completed anymore."""
        return len(self.roots) - 1

    def step(self, states: npt.ArrayLike, masks: BoolArray) -> IntArray:
        """
        Return the states after a step of the environment.

        :param states: the current states ``[...]``
        :param masks: the masks of the step, bool ``[..., G]``
        :return: the next states ``[...]``
        """
        states = int_array("states", states)
        shape = (*states.shape, len(self.goal_names))
        if not isinstance(masks, np.ndarray) or masks.dtype != np.bool_ or masks.shape != shape:
            got = f"{masks.dtype} of shape {masks.shape}" if isinstance(masks, np.ndarray) else type(masks).__name__
            raise ValueError(f"expected bool masks of shape {shape}, one per state, got {got}; pass info['goals_achieved']")
        if states.size and states.max() >= self.num_states:
            raise ValueError(f"expected states from 0 to {self.num_states - 1}, got {states.max()}; start with 0")
        return self._decide(np.asarray(self.roots[states]), [np.asarray(masks[..., ids].any(axis=-1)) for ids in self.inputs])

    @cached_property
    def after_goal(self) -> IntArray:
        """The next state of each state if a goal, and no other one, is achieved, ``[S, G]``."""
        alone = np.zeros((len(self.inputs), 1, len(self.goal_names)), dtype=np.bool_)
        for number, ids in enumerate(self.inputs):
            alone[number, :, ids] = True
        shape = (self.num_states, len(self.goal_names))
        return self._decide(np.broadcast_to(self.roots[:, None], shape), [np.broadcast_to(i, shape) for i in alone])

    @cached_property
    def transitions(self) -> tuple[tuple[tuple[frozenset[int], int], ...], ...]:
        """
        The ways out of each state: sets of inputs and the next state if these, and no others, hold.

        Sets of which a part leads to the same next state are left out.
        """
        return tuple(self._ways_out(state) for state in range(self.num_states))

    @cached_property
    def steps_left(self) -> IntArray:
        """The smallest number of steps after which the program can be complete, ``[S]``; -1 in :attr:`violated`."""
        far = self.num_states  # more than any number of steps
        left, changed = [far] * self.num_states, True
        left[self.accepted] = 0
        while changed:
            before = left.copy()
            for state in reversed(range(self.accepted)):
                left[state] = min((left[following] + 1 for _, following in self.transitions[state]), default=far)
            changed = left != before
        return np.array([-1 if steps >= far else steps for steps in left], dtype=np.int64)

    @cached_property
    def progress(self) -> npt.NDArray[np.float64]:
        """How much of the way to :attr:`accepted` is done, from 0 to 1, by :attr:`steps_left`, ``[S]``."""
        progress = 1.0 - self.steps_left / self.steps_left[INITIAL]
        return np.where(self.steps_left < 0, 0.0, np.clip(progress, 0.0, 1.0))

    def _decide(self, cursor: IntArray, inputs: list[BoolArray]) -> IntArray:
        truth, place = np.stack(inputs).reshape(len(inputs), -1), cursor.flatten()
        while len(undecided := np.flatnonzero(place >= 0)):
            node = self.nodes[place[undecided]]
            place[undecided] = np.where(truth[node[:, 0], undecided], node[:, 2], node[:, 1])
        return ~place.reshape(cursor.shape)

    def _ways_out(self, state: int) -> tuple[tuple[frozenset[int], int], ...]:
        found: list[tuple[frozenset[int], int]] = []
        paths: list[tuple[int, frozenset[int]]] = [(int(self.roots[state]), frozenset())]
        while paths:
            node, holding = paths.pop()
            if node >= 0:
                number, low, high = self.nodes[node].tolist()
                paths += [(low, holding), (high, holding | {number})]
            elif ~node != state:
                found.append((holding, ~node))
        smallest = [way for way in found if not any(other[0] < way[0] and other[1] == way[1] for other in found)]
        return tuple(sorted(set(smallest), key=lambda way: (way[1], sorted(way[0]))))


def as_ints(rows: Any, width: int | None = None) -> IntArray:
    """
    Convert a list to int64, also an empty one.

    :param rows: integers, or rows of them
    :param width: length of a row; None for integers
    :return: ``[n]`` or ``[n, width]``
    """
    return np.array(rows, dtype=np.int64).reshape((len(rows),) if width is None else (len(rows), width))
