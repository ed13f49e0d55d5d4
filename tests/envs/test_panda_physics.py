"""Tests of the Panda's physics: control of the grip, contact with objects, stability."""

from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest

import leo_envs  # noqa: F401
from leo_envs.panda import PandaEnv
from leo_envs.panda.workspace import HIGH, LOW, is_reachable, nearest_reachable
from tests.envs.panda_scripts import PandaScript
from tests.envs.robot_checks import shared_env

REACH, PUSH, SLIDE, PICK = (f"leo/Panda{name}-v0" for name in ("Reach", "Push", "Slide", "PickAndPlace"))


def scripts(env_id: str, seeds: int) -> Iterator[PandaScript]:
    env = shared_env(env_id).unwrapped
    for seed in range(seeds):
        yield PandaScript(env, env.reset(seed=seed)[0])


def test_gripper_reaches_every_goal() -> None:
    env = shared_env(REACH).unwrapped
    for goal, point in enumerate(env.goal_points):
        env.set_commanded_goal(goal)
        observation, _ = env.reset(seed=0)
        successes = []
        for _ in range(15):
            grip = observation["achieved_goal"].astype(np.float64)
            observation, *_, info = env.step(np.clip((point - grip) / 0.05, -1.0, 1.0))
            successes.append(info["is_success"])
        assert successes[-5:] == [True] * 5 and info["goals_achieved"][goal]
        # It stays at the goal, upright.
        assert np.linalg.norm(observation["achieved_goal"] - point) < 0.005
        assert env.data.site("grip").xmat[8] < -0.999
    env.set_commanded_goal(None)


@pytest.mark.parametrize("direction", [*np.eye(3), *-np.eye(3), [1.0, -1.0, 0.0]])
def test_grip_moves_along_straight_line(direction: np.ndarray) -> None:
    env = shared_env(REACH).unwrapped
    start = env.reset(seed=0)[0]["achieved_goal"]
    for _ in range(3):
        moved = env.step(direction)[0]["achieved_goal"] - start
    line = np.asarray(direction) / np.linalg.norm(direction)
    along = float(moved @ line)
    assert along > 0.08
    assert np.linalg.norm(moved - along * line) < 0.25 * along


def test_zero_action_keeps_grip_in_place() -> None:
    for env_id in (REACH, PUSH, PICK):
        env = shared_env(env_id).unwrapped
        first = env.reset(seed=0)[0]["observation"][:3]
        for _ in range(50):
            observation = env.step(np.zeros(env.action_space.shape))[0]
        np.testing.assert_allclose(observation["observation"][:3], first, atol=2e-3)


def test_scripted_pushes_succeed() -> None:
    distances = []
    for script in scripts(PUSH, seeds=12):
        script.push()
        distances.append(script.distance)
    assert np.sum(np.array(distances) <= 0.05) >= 8


def test_scripted_slides_succeed() -> None:
    env = shared_env(SLIDE).unwrapped
    best = []
    for seed in range(6):
        attempts = []
        for speed in np.linspace(0.4, 1.0, 13):
            script = PandaScript(env, env.reset(seed=seed)[0])
            script.slide(speed)
            attempts.append(script.distance)
            # The object comes to rest within the episode.
            if attempts[-1] <= 0.05:
                assert np.linalg.norm(script.observation["observation"][18:21]) < 0.05
                break
        best.append(min(attempts))
    assert np.sum(np.array(best) <= 0.05) >= 3


def test_scripted_picks_succeed() -> None:
    lifted = 0
    for script in scripts(PICK, seeds=8):
        script.pick()
        assert script.distance <= 0.05
        lifted += script.object_position[2] > 0.06
    assert lifted >= 2


def test_held_object_falls_when_fingers_open() -> None:
    (script,) = scripts(PICK, seeds=1)
    script.env.set_goal(np.array([0.5, 0.0, 0.25]))
    script.pick()
    assert script.object_position[2] > 0.2
    for _ in range(25):
        script.act(np.zeros(3), fingers=1.0)
    np.testing.assert_allclose(script.object_position[2], 0.02, atol=2e-3)


def test_blocked_fingers_stay_closed() -> None:
    for script in scripts(PUSH, seeds=2):
        script.push()
        assert script.env.data.qpos[7:9].max() < 3e-3


def explore(env: gym.Env, steps: int) -> None:
    """Take temporally correlated random actions and assert bounds on positions, velocities and penetrations."""
    inner: PandaEnv = env.unwrapped
    generator = np.random.default_rng(0)
    env.reset(seed=0)
    for step in range(steps):
        if step % 10 == 0:
            mean = generator.uniform(-1.5, 1.5, env.action_space.shape)
        noisy = np.clip(mean + 0.3 * generator.normal(size=mean.shape), -1.0, 1.0).astype(np.float32)
        observation, _, _, truncated, _ = env.step(noisy)
        assert all(np.isfinite(value).all() for value in observation.values())
        depths = inner.data.contact.dist
        assert depths.size == 0 or depths.min() > -0.01, f"penetration {depths.min()} at step {step}"
        grip = observation["observation"][:3]
        assert (grip > LOW - 0.03).all() and (grip < HIGH + 0.08).all(), f"{grip} at step {step}"
        assert np.abs(inner.data.qvel[:7]).max() < 15.0
        assert not any(warning.number for warning in inner.data.warning)
        if truncated:
            env.reset()


@pytest.mark.parametrize("env_id", [REACH, PUSH, SLIDE, PICK])
def test_random_actions_are_stable(env_id: str) -> None:
    explore(shared_env(env_id), 1_000)


@pytest.mark.expensive
@pytest.mark.parametrize("env_id", [REACH, PUSH, SLIDE, PICK])
def test_many_random_actions_are_stable(env_id: str) -> None:
    explore(shared_env(env_id), 10_000)


def test_nearest_reachable_position_is_reachable() -> None:
    generator = np.random.default_rng(0)
    for position in generator.uniform(-1.0, 1.5, (500, 3)):
        nearest = nearest_reachable(position)
        assert is_reachable([nearest])
        assert (nearest >= LOW - 0.03).all() and (nearest <= HIGH).all()
    assert not is_reachable([[0.75, 0.45, 0.5]])
