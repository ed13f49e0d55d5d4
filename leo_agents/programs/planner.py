"""Planning over the automaton of a program, with numbers of steps between goals as distances."""

from graphlib import TopologicalSorter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leo_wrappers.programs import ProgramAutomaton
from leo_wrappers.validation import check_instance, check_positive

Steps = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# Additions to the steps of a path: per path, so that one is preferred to several of the same total length; to a long one; and
# to one that passes a goal which would change the state of the program. The last two are chosen only if there is no other.
_STOP, _LONG, _PASSING = 1e-3, 1e3, 1e6


class Target(NamedTuple):
    """What to achieve next."""

    goals: tuple[IntArray, ...]
    """Sets of goals: of each one, some goal must be achieved, all in one state."""
    steps: float
    """Number of steps until the program is complete."""
    harmful: IntArray
    """Goals to avoid: achieving one of them makes the rest of the program longer or impossible."""


class ProgramPlanner:
    """
    Chooses the goals to achieve next, so that the number of steps until a program is complete is smallest.

    Each state of the automaton has a number of steps that are left after a goal was achieved, by value iteration: the steps to
    the next goal and the steps that are left there. A path that is long, or passes another goal which changes the state of the
    program, is replaced by one over further goals. Several goals in one state are assumed to take as long as the one that
    takes longest.

    :param automaton: the automaton
    :param distances: the number of steps from a state that achieved goal i to goal j, ``[G, G]``, infinite if there is no
        path. If None, every goal is taken to be as far from the others as from the current state, and paths over or past other
        goals are not known
    :param max_hop: number of steps from which on a path is long. Learned values of far goals are the least accurate, and of
        many long paths the one chosen is the one that seems too short

    Example::

        >>> import numpy as np
        >>> from leo_wrappers.programs import compile_program
        >>> line = np.abs(np.subtract.outer(np.arange(5), np.arange(5))) + 2.0 * np.eye(5)
        >>> planner = ProgramPlanner(compile_program("b or d then e", tuple("abcde")), line)
        >>> target = planner.plan(state=0, steps=line[2])
        >>> target.goals[0].tolist(), round(target.steps)
        ([3], 2)
    """

    def __init__(self, automaton: ProgramAutomaton, distances: npt.ArrayLike | None = None, max_hop: float = np.inf) -> None:
        check_instance("automaton", automaton, ProgramAutomaton, "make one with compile_program")
        check_positive("max_hop", max_hop)
        self.automaton, self.max_hop = automaton, max_hop
        count = len(automaton.goal_names)
        self.distances: Steps | None = None if distances is None else _whole_steps(distances, (count, count))
        self._joint = [self._joint_ways(state) for state in range(automaton.num_states)]
        self._order = _last_states_first(automaton)
        self._left = None if self.distances is None else self._steps_left(self.distances)

    def plan(self, state: int, steps: npt.ArrayLike) -> Target:
        """
        Choose what to achieve next.

        :param state: the state of the automaton
        :param steps: the number of steps from the current state to each goal, ``[G]``
        :return: the goals, and those to avoid on the way
        """
        near = _whole_steps(steps, (len(self.automaton.goal_names),))[None]
        left = self._steps_left(near) if self._left is None else self._left
        after = self._left_after(state, left)
        totals = (self._paths(state, near) + after)[0]
        goal = int(np.argmin(totals))
        goals: tuple[IntArray, ...] = (np.array([goal]),)
        total = float(totals[goal])
        for sets, following in self._joint[state]:
            other = float(_joint_steps(sets, near)[0] + _smallest(left[following], sets))
            if other < total:
                goals, total = sets, other
        harmful = self._changing(state)
        return Target(goals, total, harmful[after[0, harmful] > total - 0.5])

    def _steps_left(self, distances: Steps) -> Steps:
        """Return the steps that are left in each state of the automaton after each goal was achieved, ``[S, L]``."""
        left = np.full((self.automaton.num_states, len(distances)), np.inf)
        left[self.automaton.accepted] = 0.0
        for state in self._order:
            paths, changing = self._paths(state, distances), self._changing(state)
            best = (paths + self._left_after(state, left))[:, changing].min(axis=1, initial=np.inf)
            for sets, following in self._joint[state]:
                best = np.minimum(best, _joint_steps(sets, distances) + _smallest(left[following], sets))
            if len(distances) > 1:
                # Over goals that do not change the state.
                paths[:, changing] = np.inf
                while np.any((shorter := np.minimum(best, (paths + best).min(axis=1))) < best):
                    best = shorter
            left[state] = best
        return left

    def _paths(self, state: int, steps: Steps) -> Steps:
        """Return steps ``[L, G]``, and more for paths that are long or pass a goal which changes the automaton's state."""
        paths = steps + _STOP
        if self.distances is None:
            return paths
        passes = np.zeros_like(paths, dtype=np.bool_)
        for goal in self._changing(state).tolist():
            passes_goal = np.isfinite(paths) & (steps[:, goal, None] + self.distances[goal] <= steps)
            passes_goal[:, goal] = False
            if len(steps) > 1:
                passes_goal[goal] = False  # the start of the path
            passes |= passes_goal
        return paths + _LONG * (steps > self.max_hop) + _PASSING * passes

    def _left_after(self, state: int, left: Steps) -> Steps:
        """Return the steps that are left after each goal is achieved, alone, in a state, ``[1, G]``."""
        following = self.automaton.after_goal[state]
        return left[following, np.arange(len(following)) if left.shape[1] > 1 else 0][None]

    def _changing(self, state: int) -> IntArray:
        """Return the goals that change a state."""
        return np.flatnonzero(self.automaton.after_goal[state] != state)

    def _joint_ways(self, state: int) -> list[tuple[tuple[IntArray, ...], int]]:
        """Return the transitions that only several goals in one state make, not the same goals one after the other."""
        automaton = self.automaton
        ways = [
            (tuple(automaton.inputs[number] for number in inputs), following)
            for inputs, following in automaton.transitions[state]
            if len(inputs) > 1
        ]
        return [(sets, following) for sets, following in ways if following not in self._one_by_one(state, sets)]

    def _one_by_one(self, state: int, sets: tuple[IntArray, ...]) -> set[int]:
        """Return the states of the automaton after some of these sets, in any order."""
        found, queue = {state}, [state]
        for before in queue:
            # The goals of an input are alike.
            new = {int(self.automaton.after_goal[before, goals[0]]) for goals in sets} - found
            found |= new
            queue += sorted(new)
        return found


def _whole_steps(steps: npt.ArrayLike, shape: tuple[int, ...]) -> Steps:
    """Round steps to whole numbers, at least one: errors of learned values would make many short paths seem shorter."""
    array = np.asarray(steps, dtype=np.float64)
    if array.shape != shape or np.isnan(array).any():
        raise ValueError(
            f"expected numbers of steps of shape {shape} without NaN, got an array of shape {array.shape}; pass one per goal"
        )
    return np.maximum(np.round(array), 1.0)


def _joint_steps(sets: tuple[IntArray, ...], steps: Steps) -> Steps:
    """Return the steps until some goal of each set is achieved: of the set that takes longest, ``[L]``."""
    return np.max([steps[:, goals].min(axis=1) for goals in sets], axis=0)  # type: ignore[no-any-return]


def _smallest(left: Steps, sets: tuple[IntArray, ...]) -> float:
    """Return the steps that are left after the best goal of some sets."""
    return float(left[np.concatenate(sets)].min() if len(left) > 1 else left[0])


def _last_states_first(automaton: ProgramAutomaton) -> list[int]:
    """Return the states that can be left, each after all that follow it: what is left of a program only gets less."""
    following = {state: [other for _, other in ways] for state, ways in enumerate(automaton.transitions)}
    return [state for state in TopologicalSorter(following).static_order() if state < automaton.accepted]
