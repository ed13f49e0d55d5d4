"""Tests of the grid world's exact values against hand-solved corridors, value iteration and the Bellman equation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leo_envs.common import solver
from leo_envs.gridworld import GridWorldEnv, random_map

UP, RIGHT, DOWN, LEFT = range(4)
SMALL_MAPS = st.builds(
    random_map, st.tuples(st.integers(1, 5), st.integers(1, 5)), st.integers(0, 10_000), st.sampled_from([0.0, 0.2, 0.4, 0.7])
)


def parse_moves(text: str) -> tuple[list[tuple[int, int]], list[list[int]]]:
    """Return the free cells and the cell after each move from each of them, without using the environment."""
    rows = text.splitlines()
    cells = [(r, c) for r, row in enumerate(rows) for c, letter in enumerate(row) if letter != "#"]
    next_cells = []
    for r, c in cells:
        targets = [(r - 1, c), (r, c + 1), (r + 1, c), (r, c - 1)]
        next_cells.append([cells.index(target) if target in cells else cells.index((r, c)) for target in targets])
    return cells, next_cells


def value_iteration(next_cells: list[list[int]], gamma: float) -> np.ndarray:
    """Compute Q-values ``[S, G, A]`` by value iteration until they no longer change."""
    size = len(next_cells)
    q = np.zeros((size, size, 4))
    while True:
        new = np.zeros_like(q)
        for s in range(size):
            for g in range(size):
                for a in range(4):
                    after = next_cells[s][a]
                    new[s, g, a] = 1.0 if after == g else gamma * q[after, g].max()
        if np.array_equal(new, q):
            return q
        q = new


def test_corridor_by_hand() -> None:
    env = GridWorldEnv("S..")
    g = 0.5
    # [state][goal][up, right, down, left]. A move against a wall achieves the agent's own cell again.
    expected = [
        [[1, g, 1, 1], [g, 1, g, g], [g**2, g, g**2, g**2]],
        [[g, g**2, g, 1], [1, g, 1, g], [g, 1, g, g**2]],
        [[g**2, g**2, g**2, g], [g, g, g, 1], [1, 1, 1, g]],
    ]
    assert env.optimal_q(g).tolist() == expected
    assert env.distances().tolist() == [[1, 1, 2], [1, 1, 1], [2, 1, 1]]


def test_center_of_open_room_is_two_steps_from_itself() -> None:
    env = GridWorldEnv("...\n...\n...")
    center = env.goal_set.index("cell/1,1")
    assert env.distances()[center].tolist() == [2, 1, 2, 1, 2, 1, 2, 1, 2]
    assert env.optimal_q(0.9)[center, center].tolist() == [0.9] * 4


def test_unreachable_goals() -> None:
    env = GridWorldEnv("S#.")
    assert env.distances().tolist() == [[1, -1], [-1, 1]]
    assert env.optimal_q(0.9).tolist() == [[[1.0] * 4, [0.0] * 4], [[0.0] * 4, [1.0] * 4]]
    assert env.reachable().tolist() == [True, False]
    assert env.reachable(start=(0, 2)).tolist() == [False, True]
    assert GridWorldEnv("S#.", start="random").reachable().all()


@given(text=SMALL_MAPS, gamma=st.sampled_from([0.0, 0.5, 0.9, 1.0]))
@settings(max_examples=25, deadline=None)
def test_q_values_equal_value_iteration(text: str, gamma: float) -> None:
    cells, next_cells = parse_moves(text)
    env = GridWorldEnv(text)
    assert [env.cell_of(goal) for goal in env.goal_names] == cells
    np.testing.assert_allclose(env.optimal_q(gamma), value_iteration(next_cells, gamma), rtol=1e-13, atol=0)


@pytest.mark.parametrize("arguments", [{}, {"map": "maze", "size": 21}, {"map": "random", "size": 24, "map_seed": 1}])
@pytest.mark.parametrize("gamma", [0.0, 0.37, 0.9, 0.99, 1.0])
def test_q_values_solve_bellman_equation_exactly(arguments: dict, gamma: float) -> None:
    env = GridWorldEnv(**arguments)
    q = env.optimal_q(gamma)
    assert q.dtype == np.float64
    after = env.mdp.successors
    achieved = env.goal_set.achieved(after).transpose(0, 2, 1)
    target = achieved + gamma * ~achieved * q.max(axis=-1)[after].transpose(0, 2, 1)
    assert np.array_equal(q, target)


@pytest.mark.parametrize("gamma", [0.9, 0.99])
def test_max_q_value_is_discounted_distance(gamma: float) -> None:
    env = GridWorldEnv()
    best, distances = env.optimal_q(gamma).max(axis=-1), env.distances()
    expected = np.where(distances > 0, gamma ** (distances - 1.0), 0.0)
    np.testing.assert_allclose(best, expected, rtol=1e-12, atol=0)
    assert (distances == solver.UNREACHABLE).any()


@pytest.mark.parametrize("goal", ["cell/15,14", "cell/0,0", "cell/8,8"])
def test_greedy_policy_takes_shortest_path(goal: str) -> None:
    env = GridWorldEnv()
    number = env.goal_set.index(goal)
    q, distances = env.optimal_q(0.9, goals=[goal])[:, 0], env.distances(goals=[goal])[:, 0]
    for start in np.flatnonzero(distances > 0)[::7]:
        env.reset(options={"start": env.cell_of(int(start))})
        achieved = [env.step(int(q[env.state].argmax()))[4]["goals_achieved"][number] for _ in range(distances[start])]
        assert achieved == [False] * (distances[start] - 1) + [True]


def test_reachable_goals_have_a_distance() -> None:
    env = GridWorldEnv()
    distances = env.distances()
    assert np.array_equal(env.reachable(), distances[env.mdp.state_at((8, 8))] > 0)
    assert env.reachable().sum() == 171
    for state in range(0, 180, 13):
        assert np.array_equal(env.reachable(env.cell_of(state)), distances[state] > 0)


def test_subset_of_goals_equals_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    env = GridWorldEnv("maze", size=9)
    goals = [5, "cell/0,0", 17]
    ids = [5, 0, 17]
    distances, values = env.distances(), env.optimal_q(0.9)
    assert np.array_equal(env.optimal_q(0.9, goals), values[:, ids])
    assert np.array_equal(env.distances(goals), distances[:, ids])
    # Blocks of three goals, the last one smaller.
    monkeypatch.setattr(solver, "_PAIRS_PER_BLOCK", 3 * len(distances) + 1)
    assert len(distances) % 3 != 0
    assert np.array_equal(env.distances(), distances)


def test_distances_in_large_maze() -> None:
    env = GridWorldEnv("maze", size=45)
    distances = env.distances()
    assert len(distances) > 1000
    # From every cell, one move reduces the distance to every other goal by one.
    off_diagonal = ~np.eye(len(distances), dtype=bool)
    assert np.array_equal(distances, distances.T)
    assert (distances[off_diagonal] > 0).all()
    neighbors = env.mdp.successors
    one_closer = (distances[neighbors] == distances[:, None] - 1).any(axis=1)
    assert (one_closer | (distances == 1) | ~off_diagonal).all()


def test_too_large_table_raises() -> None:
    env = GridWorldEnv("\n".join(["." * 128] * 128))
    with pytest.raises(
        ValueError, match=r"16384 states and 16384 goals, which need 8.0 GiB; pass goals= with at most 2048 goals"
    ):
        env.optimal_q(0.9)
    q = env.optimal_q(0.9, goals=["cell/0,0", "cell/127,127"])
    assert q.shape == (16384, 2, 4)
    assert env.reachable().all()
    steps = np.add.outer(np.arange(128), np.arange(128)).reshape(-1)
    np.testing.assert_allclose(q[1:, 0].max(axis=-1), 0.9 ** (steps[1:] - 1.0), rtol=1e-10, atol=0)


@pytest.mark.parametrize("gamma", [-0.1, 1.01, float("nan")])
def test_invalid_gamma_raises(gamma: float) -> None:
    with pytest.raises(ValueError, match="expected gamma from 0 to 1"):
        GridWorldEnv("S.").optimal_q(gamma)


def test_invalid_goals_raise() -> None:
    env = GridWorldEnv("S.")
    with pytest.raises(ValueError, match="expected one of the 2 goal names"):
        env.optimal_q(0.9, goals=["cell/5,5"])
    with pytest.raises(ValueError, match="expected a sequence of goals, got the single string"):
        env.distances("cell/0,0")


def relabeled_sweep(q: np.ndarray, transitions: list[tuple], alpha: float, gamma: float) -> None:
    """Apply one tabular update of all goals per transition, last transition first."""
    for state, action, after, mask in reversed(transitions):
        target = mask + gamma * (1.0 - mask) * q[after].max(axis=-1)
        q[state, :, action] += alpha * (target - q[state, :, action])


def test_backward_sweep_updates_all_goals() -> None:
    """
    A backward sweep over a trajectory of three steps propagates the value of the last step to the first. Success stops the
    bootstrap, so that values converge to the optimal Q-values instead of exceeding one.
    """
    env = GridWorldEnv("S...")
    env.reset()
    transitions = []
    for _ in range(3):
        state = env.state
        mask = env.step(RIGHT)[4]["goals_achieved"]
        transitions.append((state, RIGHT, env.state, mask))
    q = np.zeros((4, 4, 4))
    end = env.goal_set.index("cell/0,3")

    relabeled_sweep(q, transitions, alpha=0.1, gamma=0.98)
    np.testing.assert_allclose(q[[2, 1, 0], end, RIGHT], [0.1, 0.0098, 0.0009604], rtol=1e-12)
    # The same sweep updates the other goals on the trajectory.
    np.testing.assert_allclose([q[1, 2, RIGHT], q[0, 2, RIGHT], q[0, 1, RIGHT]], [0.1, 0.0098, 0.1], rtol=1e-12)

    for _ in range(500):
        relabeled_sweep(q, transitions, alpha=0.1, gamma=0.98)
    np.testing.assert_allclose(q[[2, 1, 0], end, RIGHT], [1.0, 0.98, 0.9604], rtol=1e-12)
    np.testing.assert_allclose(q[[2, 1, 0], end, RIGHT], env.optimal_q(0.98)[[2, 1, 0], end, RIGHT], rtol=1e-12)
