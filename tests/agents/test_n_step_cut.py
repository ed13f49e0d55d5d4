"""Expectation of n-step targets in FrozenLake, where the ice chooses the next cell, against exact values."""

from collections.abc import Iterator
from typing import NamedTuple

import gymnasium as gym
import numpy as np
import pytest
import torch as th

from leo_agents import LEODQN
from leo_agents.replay.goal_replay_buffer import GoalReplayBufferSamples
from leo_agents.replay.n_step_buffer import GoalWindow
from leo_wrappers import GoalSet, MultiGoalWrapper

GAMMA, N_STEPS, CELLS, ACTIONS = 0.99, 3, 16, 4
LAKE = gym.make("FrozenLake-v1").unwrapped.P  # type: ignore[attr-defined]
HOLES = {5, 7, 11, 12, 15}


class Path(NamedTuple):
    """States ``s_0 ... s_L``, actions ``a_0 ... a_L-1`` and the probability of the path after ``s_0, a_0``."""

    states: list[int]
    actions: list[int]
    probability: float


def paths(path: Path) -> Iterator[Path]:
    """Yield all paths of random actions that continue a path, up to the length of a window or the end of the episode."""
    for probability, next_state, _, terminated in LAKE[path.states[-1]][path.actions[-1]]:
        longer = Path([*path.states, int(next_state)], path.actions, path.probability * probability)
        if terminated or len(path.actions) == N_STEPS:
            yield longer
        else:
            for action in range(ACTIONS):
                yield from paths(Path(longer.states, [*longer.actions, action], longer.probability / ACTIONS))


def make_batch(windows: list[Path]) -> GoalReplayBufferSamples:
    lengths = np.array([len(path.actions) for path in windows])
    steps = np.arange(N_STEPS)[:, None]
    taken = np.minimum(steps, lengths - 1)  # the last step is repeated
    states = np.array([path.states + [path.states[-1]] * (N_STEPS + 1 - len(path.states)) for path in windows]).T
    actions = np.array([path.actions + [path.actions[-1]] * (N_STEPS - len(path.actions)) for path in windows]).T
    ends, columns = steps >= lengths - 1, np.arange(len(windows))
    achieved = np.eye(CELLS, dtype=np.float32)[states[1:]]
    returns = np.where(ends.cumsum(axis=0) <= 1, GAMMA**steps, 0.0)[:, :, None] * achieved
    terminated = np.isin(states[1:], list(HOLES)) & ends
    return GoalReplayBufferSamples(
        observations={"observation": th.tensor(states[0][:, None])},
        actions=th.tensor(actions[0][:, None]),
        next_observations={"observation": th.tensor(states[lengths, columns][:, None])},
        dones=th.tensor(terminated[lengths - 1, columns][:, None]).float(),
        rewards=th.zeros(len(windows), 1),
        discounts=th.tensor(GAMMA**lengths).float()[:, None],
        goals_achieved=th.tensor(achieved[0]),
        goal_returns=th.tensor(returns.max(axis=0)).float(),
        window=GoalWindow(
            observations={"observation": th.tensor(states[taken[1:], columns].reshape(-1, 1))},
            actions=th.tensor(actions[1:].reshape(-1, 1)),
            goals_achieved=th.tensor(achieved),
            rewards=th.tensor(achieved),
            discounts=None,
            terminated=th.tensor(terminated).float(),
            ends=th.tensor(ends),
        ),
    )


def optimal_q_values() -> np.ndarray:
    """Return Q_g(s, a) ``[S, G, A]`` by value iteration."""
    q = np.zeros((CELLS, CELLS, ACTIONS))
    for _ in range(2_000):
        after = np.maximum(np.eye(CELLS), GAMMA * ~np.isin(np.arange(CELLS), list(HOLES))[:, None] * q.max(axis=2))
        for state, action in np.ndindex(CELLS, ACTIONS):
            q[state, :, action] = sum(probability * after[next_state] for probability, next_state, _, _ in LAKE[state][action])
    return q


def make_model(q_values: np.ndarray) -> LEODQN:
    """Create a model with these values."""
    goals = GoalSet(map(str, range(CELLS)), lambda cell: np.asarray(cell)[..., None] == np.arange(CELLS))
    net = {"net_arch": [], "layer_norm": False, "squash": False}
    options = {"n_steps": N_STEPS, "cut_tolerance": 0.0, "gamma": GAMMA, "buffer_size": 100, "device": "cpu"}
    env = MultiGoalWrapper(gym.make("FrozenLake-v1"), goals)
    model = LEODQN("MultiGoalPolicy", env, loss="squared", policy_kwargs=net, **options)
    with th.no_grad():
        model.q_net_target.head.weight.copy_(th.tensor(q_values).permute(2, 1, 0))
        model.q_net_target.head.bias.zero_()
    return model


def test_targets_with_cuts_are_unbiased_and_others_too_low() -> None:
    optimal = optimal_q_values()
    model = make_model(optimal)
    starts = [(state, action) for state in range(CELLS) if state not in HOLES for action in range(ACTIONS)]
    windows = [list(paths(Path([state], [action], 1.0))) for state, action in starts]
    batch = make_batch([path for group in windows for path in group])
    th.testing.assert_close(model.q_net_target(batch.observations)[0], th.tensor(optimal[0]).float())

    def expected_targets() -> np.ndarray:
        targets = model.learner.targets(batch).numpy()
        means, first = [], 0
        for group in windows:
            probabilities = np.array([path.probability for path in group])
            assert probabilities.sum() == pytest.approx(1.0)
            means.append(probabilities @ targets[first : first + len(group)])
            first += len(group)
        return np.stack(means)

    exact = np.stack([optimal[state, :, action] for state, action in starts])
    np.testing.assert_allclose(expected_targets(), exact, atol=1e-5)
    model.learner.cut_tolerance = None
    bias = expected_targets() - exact
    assert bias.max() < 1e-5 and bias.min() < -0.2
