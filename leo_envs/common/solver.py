"""Exact distances and action values of a world, for all goals at once, by breadth-first search backwards from the goals."""

import numpy as np
import numpy.typing as npt

from leo_envs.common.mdp import BoolArray, IntArray, World

UNREACHABLE = -1
"""The distance where no sequence of steps leads to the goal."""

MAX_TABLE_BYTES = 2**30
"""Larger tables are refused; ask for some of the goals at a time."""

# State-goal pairs searched at once: enough to spread the cost of a search step, few enough to stay within some hundred MB.
_PAIRS_PER_BLOCK = 2**23

Distances = npt.NDArray[np.int32]
Values = npt.NDArray[np.float64]


def distances(world: World, goals: IntArray) -> Distances:
    """
    The least number of steps, at least one, after which each goal is achieved from each state.

    A state that achieves the goal already must take a step too: the distance is then 1 if some action stays within the
    goal, or the length of the shortest way out and back.

    :param world: the world
    :param goals: goal ids
    :return: int32 ``[S, len(goals)]``, :data:`UNREACHABLE` where there is no way
    """
    _check_size("distances", world, len(goals), entries=1, item_bytes=4)
    predecessors = _predecessors(world.successors)
    result = np.empty((world.num_states, len(goals)), dtype=np.int32)
    width = max(1, _PAIRS_PER_BLOCK // world.num_states)
    for first in range(0, len(goals), width):
        states, columns = world.states_achieving(goals[first : first + width])
        result[:, first : first + width] = _search(predecessors, states, columns, len(goals[first : first + width]))
    return result


def optimal_q(world: World, gamma: float, goals: IntArray) -> Values:
    """
    The optimal action values of each goal: ``gamma ** (n - 1)`` where n is the least number of steps to the goal, this one
    included.

    They solve ``Q_g(s, a) = m_g + gamma (1 - m_g) max Q_g(s', .)`` with m the goals achieved in the next state s', to the
    last bit.

    :param world: the world
    :param gamma: the discount, from 0 to 1
    :param goals: goal ids
    :return: float64 ``[S, len(goals), A]``
    """
    if not 0.0 <= gamma <= 1.0:
        raise ValueError(f"expected gamma from 0 to 1, got {gamma!r}; pass the agent's discount, e.g. 0.99")
    _check_size("action values", world, len(goals), entries=world.num_actions, item_bytes=8)
    steps = distances(world, goals)
    # Products one by one, as a Bellman backup forms them, so that the equation holds without any rounding. The last entry
    # serves the index UNREACHABLE.
    powers = np.full(max(int(steps.max(initial=0)), 0) + 2, float(gamma))
    powers[0] = 1.0
    np.multiply.accumulate(powers, out=powers)
    powers[UNREACHABLE] = 0.0
    arrived = powers[steps]
    states, columns = world.states_achieving(goals)
    arrived[states, columns] = 1.0
    result = np.empty((world.num_states, len(goals), world.num_actions))
    for action in range(world.num_actions):
        result[:, :, action] = arrived[world.successors[:, action]]
    return result


def reachable(world: World, starts: IntArray) -> BoolArray:
    """
    The goals that can be achieved, in one step or more, from at least one of the start states.

    :param world: the world
    :param starts: state numbers
    :return: bool ``[G]``
    """
    seen = np.zeros(world.num_states, dtype=np.bool_)
    frontier = starts
    while frontier.size:
        following = np.unique(world.successors[frontier])
        frontier = following[~seen[following]]
        seen[frontier] = True
    states, goals = world.states_achieving(np.arange(world.num_goals))
    result = np.zeros(world.num_goals, dtype=np.bool_)
    result[goals[seen[states]]] = True
    return result


def _search(predecessors: IntArray, states: IntArray, columns: IntArray, num_columns: int) -> Distances:
    """Each state-goal pair is visited once, however long the ways: long corridors cost no more than open rooms."""
    num_states = len(predecessors)
    # One more row than states: the padding of the predecessors points there, and it counts as found from the beginning.
    steps = np.zeros((num_states + 1, num_columns), dtype=np.int32)
    steps[num_states] = 1
    flat_steps = steps.reshape(-1)
    owner = np.empty(flat_steps.size, dtype=np.int32)
    level = 0
    while states.size:
        level += 1
        pairs = (predecessors[states] * num_columns + columns[:, None]).reshape(-1)
        pairs = pairs[flat_steps[pairs] == 0]
        flat_steps[pairs] = level
        # Several ways may lead to one pair; it goes on through the last of them alone.
        order = np.arange(pairs.size, dtype=np.int32)
        owner[pairs] = order
        pairs = pairs[owner[pairs] == order]
        states, columns = np.divmod(pairs, num_columns)
    found = steps[:num_states]
    found[found == 0] = UNREACHABLE
    return found


def _predecessors(successors: IntArray) -> IntArray:
    """The states that lead to each state, ``[S, most of any state]``, padded with S."""
    num_states, num_actions = successors.shape
    steps = np.unique(np.stack([successors.reshape(-1), np.repeat(np.arange(num_states), num_actions)], axis=1), axis=0)
    to_state, from_state = steps[:, 0], steps[:, 1]
    position = np.arange(len(steps)) - np.searchsorted(to_state, to_state)
    result = np.full((num_states, int(position.max()) + 1), num_states, dtype=np.intp)
    result[to_state, position] = from_state
    return result


def _check_size(what: str, world: World, num_goals: int, entries: int, item_bytes: int) -> None:
    size = world.num_states * num_goals * entries * item_bytes
    if size > MAX_TABLE_BYTES:
        most = MAX_TABLE_BYTES // (world.num_states * entries * item_bytes)
        raise ValueError(
            f"expected a table of at most {MAX_TABLE_BYTES / 2**30:.1f} GiB, got {what} of {world.num_states} states "
            f"and {num_goals} goals, which need {size / 2**30:.1f} GiB; pass goals= with at most {most} goals at a time"
        )
