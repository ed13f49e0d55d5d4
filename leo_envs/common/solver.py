"""Exact distances and Q-values of an MDP for all goals, by breadth-first search backwards from the goals."""

import numpy as np
import numpy.typing as npt

from leo_envs.common.mdp import BoolArray, FiniteMDP, IntArray

UNREACHABLE = -1
"""Distance of goals that cannot be achieved."""

MAX_TABLE_BYTES = 2**30
"""Larger tables raise an error; pass fewer goals at a time."""

# State-goal pairs per search: enough to amortize the overhead of a search step, few enough for some hundred MB of memory.
_PAIRS_PER_BLOCK = 2**23

Distances = npt.NDArray[np.int32]
Values = npt.NDArray[np.float64]


def distances(mdp: FiniteMDP, goals: IntArray) -> Distances:
    """
    Compute the smallest number of steps, at least one, after which each goal is achieved from each state.

    From a state that achieves the goal already, the distance is 1 if some action stays in the goal, or the length of the
    shortest cycle back to it.

    :param mdp: the MDP
    :param goals: goal ids
    :return: int32 ``[S, len(goals)]``, :data:`UNREACHABLE` where the goal cannot be achieved
    """
    _check_size("distances", mdp, len(goals), entries=1, item_bytes=4)
    predecessors = _predecessors(mdp.successors)
    result = np.empty((mdp.num_states, len(goals)), dtype=np.int32)
    width = max(1, _PAIRS_PER_BLOCK // mdp.num_states)
    for first in range(0, len(goals), width):
        states, columns = mdp.states_achieving(goals[first : first + width])
        result[:, first : first + width] = _search(predecessors, states, columns, len(goals[first : first + width]))
    return result


def optimal_q(mdp: FiniteMDP, gamma: float, goals: IntArray) -> Values:
    """
    Compute the optimal Q-values of each goal: ``gamma ** (n - 1)`` where n is the smallest number of steps to the goal, this
    one included.

    They satisfy ``Q_g(s, a) = m_g + gamma * (1 - m_g) * max_a' Q_g(s', a')`` without rounding errors, where m is the mask of
    the next state s'.

    :param mdp: the MDP
    :param gamma: discount factor, from 0 to 1
    :param goals: goal ids
    :return: Q-values, float64 ``[S, len(goals), A]``
    """
    if not 0.0 <= gamma <= 1.0:
        raise ValueError(f"expected gamma from 0 to 1, got {gamma!r}; pass the agent's discount factor, e.g. 0.99")
    _check_size("Q-values", mdp, len(goals), entries=mdp.num_actions, item_bytes=8)
    steps = distances(mdp, goals)
    # Repeated products, as in Bellman backups, instead of powers: otherwise the equation would hold only up to rounding. The
    # last entry is that of the index UNREACHABLE.
    powers = np.full(max(int(steps.max(initial=0)), 0) + 2, float(gamma))
    powers[0] = 1.0
    np.multiply.accumulate(powers, out=powers)
    powers[UNREACHABLE] = 0.0
    next_values = powers[steps]
    states, columns = mdp.states_achieving(goals)
    next_values[states, columns] = 1.0
    result = np.empty((mdp.num_states, len(goals), mdp.num_actions))
    for action in range(mdp.num_actions):
        result[:, :, action] = next_values[mdp.successors[:, action]]
    return result


def reachable(mdp: FiniteMDP, starts: IntArray) -> BoolArray:
    """
    Return the goals that can be achieved, in at least one step, from at least one of the start states.

    :param mdp: the MDP
    :param starts: start states
    :return: bool ``[G]``
    """
    visited = np.zeros(mdp.num_states, dtype=np.bool_)
    frontier = starts
    while frontier.size:
        following = np.unique(mdp.successors[frontier])
        frontier = following[~visited[following]]
        visited[frontier] = True
    states, goals = mdp.states_achieving(np.arange(mdp.num_goals))
    result = np.zeros(mdp.num_goals, dtype=np.bool_)
    result[goals[visited[states]]] = True
    return result


def _search(predecessors: IntArray, states: IntArray, columns: IntArray, num_columns: int) -> Distances:
    """Breadth-first search over state-goal pairs; each pair is visited once, so the cost is independent of path lengths."""
    num_states = len(predecessors)
    # The padding of the predecessors is the index of an additional row, which is marked as visited from the start.
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
        # Keep one of the duplicates of a pair that was reached from several states.
        order = np.arange(pairs.size, dtype=np.int32)
        owner[pairs] = order
        pairs = pairs[owner[pairs] == order]
        states, columns = np.divmod(pairs, num_columns)
    found = steps[:num_states]
    found[found == 0] = UNREACHABLE
    return found


def _predecessors(successors: IntArray) -> IntArray:
    """Return the predecessors of each state, ``[S, largest number of predecessors]``, padded with S."""
    num_states, num_actions = successors.shape
    steps = np.unique(np.stack([successors.reshape(-1), np.repeat(np.arange(num_states), num_actions)], axis=1), axis=0)
    to_state, from_state = steps[:, 0], steps[:, 1]
    position = np.arange(len(steps)) - np.searchsorted(to_state, to_state)
    result = np.full((num_states, int(position.max()) + 1), num_states, dtype=np.intp)
    result[to_state, position] = from_state
    return result


def _check_size(what: str, mdp: FiniteMDP, num_goals: int, entries: int, item_bytes: int) -> None:
    size = mdp.num_states * num_goals * entries * item_bytes
    if size > MAX_TABLE_BYTES:
        most = MAX_TABLE_BYTES // (mdp.num_states * entries * item_bytes)
        raise ValueError(
            f"expected a table of at most {MAX_TABLE_BYTES / 2**30:.1f} GiB, got {what} of {mdp.num_states} states "
            f"and {num_goals} goals, which need {size / 2**30:.1f} GiB; pass goals= with at most {most} goals at a time"
        )
