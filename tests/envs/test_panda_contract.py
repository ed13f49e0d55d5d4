"""Tests of all Panda ids: environment checkers, masks and rewards, determinism, invalid input."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import TD3, HerReplayBuffer
from stable_baselines3.common.env_checker import check_env as check_sb3_env

import leo_envs  # noqa: F401
from leo_envs.panda import PANDA_TASKS, PandaEnv
from leo_wrappers import GoalConditionedWrapper, check_multigoal_env
from tests.envs.robot_checks import (
    assert_equal,
    check_batches,
    check_masks,
    only_points,
    points_near_goals,
    rollout,
    shared_env,
    skip_without_rendering,
)

IDS = ["leo/PandaReach-v0", "leo/PandaPush-v0", "leo/PandaSlide-v0", "leo/PandaPickAndPlace-v0"]
REACH, PUSH, SLIDE, PICK = IDS


@pytest.mark.parametrize("env_id", IDS)
def test_checkers(env_id: str) -> None:
    env = gym.make(env_id)
    assert env.spec.max_episode_steps == 50
    check_multigoal_env(env, steps=60, skip_gymnasium_check=True, skip_sb3_check=True)
    check_env(env.unwrapped, skip_render_check=True)
    check_sb3_env(env.unwrapped)
    # Stable-Baselines3's checker expects that compute_reward knows all goals.
    check_multigoal_env(GoalConditionedWrapper(env), steps=20, skip_sb3_check=bool(only_points(env_id)))
    env.close()


@pytest.mark.parametrize("env_id", IDS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_mask_equals_rewards(env_id: str, data: st.DataObject) -> None:
    env = shared_env(env_id, **only_points(env_id))
    achieved = data.draw(points_near_goals(env))
    check_masks(env, achieved)
    check_batches(env, achieved)
    # Gymnasium-Robotics compares the norm.
    goals = env.unwrapped.goal_points.astype(np.float64)
    distances = np.linalg.norm(achieved.astype(np.float64)[:, None] - goals, axis=-1)
    np.testing.assert_array_equal(env.unwrapped.goal_set.achieved(achieved), distances <= 0.05)


@pytest.mark.parametrize("env_id", IDS)
def test_info_mask_equals_rewards(env_id: str) -> None:
    env = shared_env(env_id, **only_points(env_id)).unwrapped
    generator = np.random.default_rng(0)
    observation, info = env.reset(seed=1)
    for step in range(12):
        if step:
            observation, reward, *_, info = env.step(generator.uniform(-1, 1, env.action_space.shape))
            assert reward == env.compute_reward(observation["achieved_goal"], observation["desired_goal"], info)
            assert info["is_success"] is bool(reward == 0)
        expected = [env.compute_reward(observation["achieved_goal"], point, {}) == 0 for point in env.goal_points]
        assert info["goals_achieved"].tolist() == expected


def test_dense_reward_is_negative_distance() -> None:
    env = gym.make(PUSH, reward_type="dense", helper_goals=False).unwrapped
    env.reset(seed=0)
    for _ in range(3):
        observation, reward, *_, info = env.step(env.action_space.sample())
        distance = np.linalg.norm(observation["achieved_goal"] - observation["desired_goal"])
        assert reward == pytest.approx(-distance, rel=1e-5)
        assert info["is_success"] is bool(distance <= 0.05)
    check_batches(env, env.goal_points[::-1])


@pytest.mark.parametrize("env_id", IDS)
def test_rollouts_are_deterministic(env_id: str) -> None:
    env = shared_env(env_id)
    first = rollout(env, seed=5, steps=30)
    rollout(env, seed=6, steps=3)
    assert_equal(first, rollout(env, seed=5, steps=30))
    assert_equal(first, rollout(gym.make(env_id), seed=5, steps=30))


def test_seeds_differ() -> None:
    env = shared_env(PICK).unwrapped
    starts = {tuple(env.reset(seed=seed)[0][key].tolist()) for seed in range(5) for key in ("achieved_goal", "desired_goal")}
    assert len(starts) == 10


def test_spec_round_trip_and_pickle() -> None:
    import pickle

    env = gym.make(PICK, resolution=[2, 2, 3], tolerance=0.04, object_size=[0.025, 0.02, 0.03], friction=0.8)
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    expected = rollout(env, seed=2, steps=5)
    for twin in (again, pickle.loads(pickle.dumps(env))):
        assert twin.unwrapped.task == env.unwrapped.task
        assert twin.unwrapped.goal_names == env.unwrapped.goal_names
        assert_equal(expected, rollout(twin, seed=2, steps=5))


@pytest.mark.parametrize(
    ("env_id", "count", "names", "size"),
    [
        (REACH, 125, {0: "gripper/x-15,y-15,z-15", 62: "gripper/x+0,y+0,z+0"}, 6),
        (PUSH, 49, {0: "table/x-15,y-15", 24: "table/x+0,y+0"}, 24),
        (SLIDE, 81, {0: "table/x+30,y-20", 80: "table/x+70,y+20"}, 24),
        (PICK, 100, {0: "table/x-15,y-15", 99: "air/x+15,y+15,z+30"}, 25),
    ],
)
def test_default_grids_and_sizes(env_id: str, count: int, names: dict[int, str], size: int) -> None:
    env = shared_env(env_id, **only_points(env_id)).unwrapped
    assert len(env.goal_names) == count
    assert {goal: env.goal_names[goal] for goal in names} == names
    assert env.observation_space["observation"].shape == (size,)
    assert env.action_space.shape == ((4,) if env_id == PICK else (3,))
    sampled = np.array([env.reset(seed=seed)[0]["desired_goal"] for seed in range(60)])
    low, high = env.goal_points.min(axis=0) - 1e-6, env.goal_points.max(axis=0) + 1e-6
    assert ((sampled >= low) & (sampled <= high)).all()
    assert (sampled.max(axis=0) - sampled.min(axis=0) >= 0.8 * (high - low) - 1e-5).all()


def test_start_positions_of_objects() -> None:
    env = gym.make(PUSH, object_center=[0.45, 0.1], object_range=[0.05, 0.02], object_distance=0.0).unwrapped
    positions = np.array([env.reset(seed=seed)[0]["achieved_goal"] for seed in range(30)])
    assert (np.abs(positions[:, :2] - [0.45, 0.1]) <= [0.05, 0.02]).all()
    np.testing.assert_allclose(positions[:, 2], 0.02, atol=1e-6)
    default = shared_env(PUSH).unwrapped
    observations = [default.reset(seed=seed)[0] for seed in range(30)]
    assert min(np.linalg.norm(o["achieved_goal"][:2] - o["observation"][:2]) for o in observations) >= 0.1 - 1e-6


def test_entries_of_observation() -> None:
    env = shared_env(PICK).unwrapped
    env.reset(seed=0)
    for _ in range(4):
        observation = env.step([0.5, -0.5, -0.5, 1.0])[0]
    parts = observation["observation"]
    grip, body = env.data.site("grip").xpos.copy(), env.data.body("object")
    np.testing.assert_allclose(parts[:3], grip, rtol=1e-6)
    np.testing.assert_allclose(parts[6], env.data.qpos[7:9].sum(), rtol=1e-6)
    np.testing.assert_allclose(parts[7:10], body.xpos, rtol=1e-6)
    np.testing.assert_allclose(parts[10:13], body.xpos - grip, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(parts[13:19], body.xmat.reshape(3, 3)[:, :2].T.reshape(-1), atol=1e-6)
    # The grip's velocity is the slope of its position.
    env._mujoco.mj_step(env.model, env.data)
    env._mujoco.mj_forward(env.model, env.data)
    assert np.abs(parts[3:6]).min() > 0.2
    np.testing.assert_allclose((env.data.site("grip").xpos - grip) / 0.002, parts[3:6], atol=0.05)
    # The object's joint has its linear velocity in the global and its angular velocity in the local frame.
    env.data.joint("object").qvel[:] = [0.1, -0.2, 0.3, 1.0, 2.0, -3.0]
    env._mujoco.mj_forward(env.model, env.data)
    parts = env._observation()["observation"]
    np.testing.assert_allclose(parts[19:22], [0.1, -0.2, 0.3], atol=1e-6)
    np.testing.assert_allclose(parts[22:25], body.xmat.reshape(3, 3) @ [1.0, 2.0, -3.0], atol=1e-6)


def test_rendering_shows_target_and_keeps_dynamics() -> None:
    skip_without_rendering()
    env = gym.make(PUSH, render_mode="rgb_array")
    env.reset(seed=3)
    frame = env.render()
    env.unwrapped.set_commanded_goal(0)
    assert frame.shape == (480, 480, 3) and (frame != env.render()).any()
    np.testing.assert_allclose(env.unwrapped.data.site("target").xpos, env.unwrapped.desired_goal, atol=1e-7)
    env.unwrapped.set_commanded_goal(None)
    expected = rollout(shared_env(PUSH), seed=3, steps=5)
    observation, info = env.reset(seed=3)
    rendered = [*observation.values(), info["goals_achieved"]]
    generator = np.random.default_rng(3)
    for _ in range(5):
        env.render()
        observation, reward, *_, info = env.step(generator.uniform(-1, 1, 3).astype(np.float32))
        rendered += [*observation.values(), info["goals_achieved"], reward, info["is_success"]]
    assert_equal(rendered, expected)
    env.close()


def test_sb3_her_replay_buffer() -> None:
    model = TD3(
        "MultiInputPolicy",
        gym.make(REACH, max_episode_steps=10),
        replay_buffer_class=HerReplayBuffer,
        learning_starts=30,
        batch_size=32,
        policy_kwargs={"net_arch": [16]},
        seed=0,
    ).learn(50)
    batch = model.replay_buffer.sample(128)
    achieved, desired = batch.next_observations["achieved_goal"].numpy(), batch.observations["desired_goal"].numpy()
    expected = model.env.env_method("compute_reward", achieved, desired, [{}], indices=[0])[0]
    np.testing.assert_array_equal(batch.rewards.numpy()[:, 0], expected)
    assert 0.0 in expected


INVALID = [
    ({"tolerance": 0.0}, "expected a tolerance above 0"),
    ({"resolution": 0}, "expected resolution to be a positive integer"),
    ({"points": [[0.5, 0.0, 2.0]]}, "expected goals within the workspace"),
    ({"goal_range": [0.15, 0.15, 0.6]}, "expected goals within the arm's reach"),
    ({"goal_range": [0.15, -0.15, 0.1]}, "expected goal_range of 0 or more along each axis"),
    ({"goal_center": [2.0, 0.0, 0.0]}, "expected goal_range to stay on the table"),
    ({"goal_center": [0.5, 0.0, 0.1]}, "expected goal_center at height 0"),
    ({"object_center": [0.5, 3.0]}, "expected object_range to stay on the table"),
    ({"object_distance": 0.5}, "expected object_distance within object_range"),
    ({"object_size": [0.02, 0.05, 0.02]}, "below 0.035 along y"),
    ({"object_size": [0.02, 0.02]}, "expected object_size to be 3 numbers"),
    ({"object_shape": "star"}, r"expected object_shape to be one of \['box', 'cylinder'\]"),
    ({"friction": -1.0}, "expected friction above 0"),
    ({"max_displacement": 0.0}, "expected max_displacement above 0"),
    ({"start": [1.5, 0.0, 0.2]}, "expected start within the arm's reach"),
    ({"reward_type": "shaped"}, "expected reward_type to be one of"),
    ({"task": "throw"}, "expected task to be one of"),
]


@pytest.mark.parametrize(("arguments", "message"), INVALID)
def test_invalid_arguments_raise(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PandaEnv(**{"task": "pick_and_place", **arguments})


def test_misspelled_argument_raises() -> None:
    with pytest.raises(TypeError, match=r"got 'objekt_size'; nearest: \['object_size'"):
        gym.make(PUSH, objekt_size=[0.1, 0.1, 0.1])


def test_invalid_actions_raise() -> None:
    env = shared_env(PICK).unwrapped
    env.reset(seed=0)
    for action in ([0.0] * 3, [np.nan] * 4):
        with pytest.raises(ValueError, match=r"expected an action of shape \(4,\)"):
            env.step(action)


def test_every_task_is_registered() -> None:
    assert {shared_env(env_id).unwrapped.task for env_id in IDS} == set(PANDA_TASKS.values())
