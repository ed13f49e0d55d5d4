"""Helpers of the robotics tests: shared environments, rollouts, points at the boundary of goals."""

from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import strategies as st

import leo_envs  # noqa: F401


@cache
def shared_env(env_id: str, **arguments: Any) -> gym.Env:
    """Return a cached environment, for tests that restore its state: creating one takes up to a second."""
    return gym.make(env_id, **arguments)


def rollout(env: gym.Env, seed: int, steps: int) -> list[Any]:
    """Return everything that reset and step return in an episode of random actions, as a flat list."""
    generator = np.random.default_rng(seed)
    observation, info = env.reset(seed=seed)
    result = [*observation.values(), info["goals_achieved"]]
    for _ in range(steps):
        action = generator.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
        observation, reward, terminated, truncated, info = env.step(action)
        assert (terminated, truncated) == (False, False)
        result += [*observation.values(), info["goals_achieved"], reward, info["is_success"]]
    return result


def assert_equal(actual: list[Any], expected: list[Any]) -> None:
    """Assert that two rollouts are exactly equal."""
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def only_points(env_id: str) -> dict[str, Any]:
    """Return the arguments of an environment for goals that are all points of ``achieved_goal``."""
    return {"helper_goals": False} if env_id.endswith(("Push-v0", "Slide-v0", "PickAndPlace-v0")) else {}


@st.composite
def points_near_goals(draw: st.DrawFn, env: gym.Env) -> np.ndarray:
    """Draw a batch of float32 points, most of them as close to the boundary of a goal as float32 allows."""
    goals = env.unwrapped.goal_points.astype(np.float64)
    tolerance = env.unwrapped.goal_set.tolerance
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    chosen = goals[generator.integers(len(goals), size=16)]
    # Half of the directions are parallel to an axis: the distance is then a single subtraction, exact at the boundary.
    directions = generator.normal(size=chosen.shape)
    axes = np.eye(goals.shape[1])[generator.integers(goals.shape[1], size=8)] * generator.choice([-1.0, 1.0], size=(8, 1))
    directions[:8] = axes
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii = tolerance * draw(st.sampled_from([0.0, 0.5, 1.0 - 1e-7, 1.0, 1.0 + 1e-7, 3.0]))
    return (chosen + radii * directions).astype(np.float32)


def skip_without_rendering() -> None:
    """Skip the test if rendering is impossible, without display and EGL."""
    try:
        env = gym.make("leo/FetchReach-v0", render_mode="rgb_array")
        env.reset(seed=0)
        env.render()
        env.close()
    except Exception as error:
        pytest.skip(f"cannot render here: {error}")


def check_masks(env: gym.Env, achieved: np.ndarray) -> None:
    """Assert that the mask equals the rewards of all goals, computed in a batch and one by one."""
    inner = env.unwrapped
    points = inner.goal_points
    masks = inner.goal_set.achieved(achieved)
    pairs = np.repeat(achieved, len(points), axis=0), np.tile(points, (len(achieved), 1))
    rewards = inner.compute_reward(*pairs, [{}] * len(pairs[0]))
    assert (rewards.dtype, rewards.shape) == (np.float32, (len(pairs[0]),))
    np.testing.assert_array_equal(masks, (rewards == 0).reshape(masks.shape))
    assert set(np.unique(rewards)) <= {-1.0, 0.0}
    for row in range(0, len(pairs[0]), max(1, len(pairs[0]) // 100)):
        alone = inner.compute_reward(pairs[0][row], pairs[1][row], {})
        assert type(alone) is float and alone == rewards[row]
    np.testing.assert_array_equal(inner.goal_set.achieved(achieved[0]), masks[0])


def check_batches(env: gym.Env, achieved: np.ndarray) -> None:
    """Assert that reward, terminated and truncated of a batch with a different goal per row equal those of its rows."""
    inner = env.unwrapped
    desired = inner.goal_points[np.arange(len(achieved)) % len(inner.goal_points)]
    for method in (inner.compute_reward, inner.compute_terminated, inner.compute_truncated):
        batch = method(achieved, desired, [{}] * len(achieved))
        assert batch.shape == (len(achieved),)
        assert batch.tolist() == [method(a, d, {}) for a, d in zip(achieved, desired, strict=True)]
    assert inner.compute_terminated(achieved[0], desired[0], {}) is False
