"""The replay buffer for goals that are points: which goals it draws, and their returns, against brute force."""

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.vec_env import DummyVecEnv

from leo_agents.algorithms.goal_env import RewardGoalTest
from leo_agents.replay.point_goal_buffer import PointGoalReplayBuffer
from tests.agents.plane_point import PlanePoint

POINT = spaces.Box(-np.inf, np.inf, (1,), np.float32)
SPACE = spaces.Dict({"observation": POINT, "achieved_goal": POINT, "desired_goal": POINT})
GAMMA = 0.9


def within_one(achieved, goals):
    return np.abs(achieved - goals)[:, 0] <= 1.0


def observation(positions, goals):
    points = np.array(positions, dtype=np.float32).reshape(-1, 1)
    return {
        "observation": points,
        "achieved_goal": points.copy(),
        "desired_goal": np.array(goals, dtype=np.float32).reshape(-1, 1),
    }


class Walks:
    """Random walks of several environments, stored in a buffer and in lists."""

    def __init__(self, seed: int, steps: int, n_envs: int, **kwargs) -> None:
        self.buffer = PointGoalReplayBuffer(
            24 * n_envs, SPACE, spaces.Box(-1, 1, (1,)), "cpu", n_envs, gamma=GAMMA, goal_test=within_one, **kwargs
        )
        rng = np.random.default_rng(seed)
        # Far apart, so that a position belongs to one episode.
        positions = 1000.0 * np.arange(n_envs)
        self.episodes: list[list[float]] = [[position] for position in positions]
        self.all_episodes = list(self.episodes)
        for _ in range(steps):
            actions = rng.uniform(0.6, 1.0, n_envs)
            after = positions + actions
            dones = rng.random(n_envs) < 0.15
            infos = [{"TimeLimit.truncated": True}] * n_envs
            goals = rng.integers(200, 300, n_envs)
            self.buffer.add(
                observation(positions, goals), observation(after, goals), actions[:, None], np.zeros(n_envs), dones, infos
            )
            positions = after
            for env, done in enumerate(dones):
                self.episodes[env].append(float(after[env]))
                if done:
                    positions[env] = 1000.0 * len(self.all_episodes)
                    self.episodes[env] = [positions[env]]
                    self.all_episodes.append(self.episodes[env])

    def episode_of(self, position: float) -> tuple[list[float], int]:
        """Return the positions of the episode of a transition, and its step."""
        for episode in self.all_episodes:
            values = np.array(episode, dtype=np.float32)
            (steps,) = np.nonzero(values[:-1] == np.float32(position))
            if len(steps):
                return values.tolist(), int(steps[0])
        raise AssertionError(position)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 70), st.integers(1, 3), st.integers(1, 4), st.integers(0, 3), st.integers(1, 3))
def test_returns_and_own_goals_equal_those_of_the_episode(seed, steps, n_envs, n_steps, shared, own):
    walks = Walks(seed, steps, n_envs, n_steps=n_steps, shared_goals=shared, own_goals=own)
    np.random.seed(seed)
    batch = walks.buffer.sample(32)
    assert batch.goals.shared.shape == (shared, 1) and batch.goals.own.shape == (32, own, 1)
    for row in range(32):
        episode, start = walks.episode_of(batch.observations["observation"][row, 0].item())
        future = episode[start + 1 :]
        own_goals = batch.goals.own[row, :, 0].tolist()
        assert set(own_goals) <= set(future)
        window = future[:n_steps]
        for column, goal in enumerate([*batch.goals.shared[:, 0].tolist(), *own_goals]):
            reached = [step for step, point in enumerate(window) if abs(np.float32(point) - np.float32(goal)) <= 1.0]
            assert batch.goal_returns[row, column].item() == pytest.approx(GAMMA ** reached[0] if reached else 0.0)
        assert batch.next_observations["observation"][row, 0].item() == window[-1]
        assert batch.discounts[row].item() == pytest.approx(GAMMA ** len(window))


def test_own_goals_are_not_true_already_where_one_of_four_draws_is_not():
    walks = Walks(seed=0, steps=20, n_envs=1, own_goals=2)
    batch = walks.buffer.sample(4000)
    already = (batch.observations["achieved_goal"][:, None] - batch.goals.own).abs()[..., 0] <= 1.0
    fractions = []
    for position in batch.observations["observation"][:, 0].tolist():
        episode, start = walks.episode_of(position)
        fractions.append(np.mean([abs(point - episode[start]) <= 1.0 for point in episode[start + 1 :]]))
    assert already.float().mean() == pytest.approx(np.mean(np.power(fractions, 4)), abs=0.02)
    assert np.mean(np.power(fractions, 4)) < np.mean(fractions) - 0.1


def test_half_of_the_shared_goals_are_commanded():
    batch = Walks(seed=0, steps=20, n_envs=2, shared_goals=10).buffer.sample(4)
    assert (batch.goals.shared[:5] >= 200).all() and (batch.goals.shared[:5] < 300).all()


def test_a_buffer_without_goal_test_says_so():
    walks = Walks(seed=0, steps=5, n_envs=1)
    walks.buffer.goal_test = None
    with pytest.raises(ValueError, match="expected a goal_test to sample, got None"):
        walks.buffer.sample(2)


def rewards(function):
    """Create vectorized environments with a function as their ``compute_reward``."""
    env = PlanePoint()
    env.compute_reward = function
    return DummyVecEnv([lambda: env])


def distance(achieved, goals, infos):
    return np.linalg.norm(achieved - goals, axis=-1)


@pytest.mark.parametrize("scale, offset", [(1.0, -1.0), (1.0, 0.0), (10.0, -3.0)])
def test_goal_test_equals_the_reward_of_each_pair(scale, offset):
    test = RewardGoalTest(rewards(lambda *pairs: (distance(*pairs) <= 1.0) * scale + offset))
    achieved, goals = np.random.default_rng(0).normal(size=(2, 50, 3))
    assert test(achieved, goals).tolist() == [bool(np.linalg.norm(a - g) <= 1.0) for a, g in zip(achieved, goals, strict=True)]
    assert test(achieved[:0], goals[:0]).tolist() == []


@pytest.mark.parametrize(
    "reward, message",
    [
        (lambda *pairs: -distance(*pairs), "use a sparse reward"),
        (lambda *pairs: 1.0 * (distance(*pairs) > 1.0), "a lower one for failure"),
        (lambda achieved, goals, infos: -1.0, r"got shape \(\); vectorize it"),
        (lambda achieved, goals, infos: np.zeros((len(goals), 1)), r"got shape \(\d+, 1\); vectorize it"),
    ],
)
def test_rewards_that_do_not_tell_success_are_rejected(reward, message):
    achieved, goals = np.random.default_rng(0).normal(size=(2, 50, 3))
    with pytest.raises(ValueError, match=message):
        RewardGoalTest(rewards(reward))(achieved, goals)
