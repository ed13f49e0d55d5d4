"""Tests of the robotics environments' goal grids, targets, rendering and vectorization, and of SB3's HER with them."""

import glob
import tempfile
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from stable_baselines3 import SAC, HerReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv

from leo_wrappers import GoalConditionedWrapper, MultiGoalWrapper, PointGoals
from leo_wrappers.sb3 import VecGoalSampler
from tests.envs.robot_checks import assert_equal, only_points, rollout, shared_env, skip_without_rendering

REACH, MAZE, KITCHEN = "leo/FetchReach-v0", "leo/PointMaze_UMaze-v0", "leo/FrankaKitchen-v0"


@pytest.mark.parametrize(
    ("env_id", "count", "names"),
    [
        (REACH, 125, {0: "gripper/x-15,y-15,z-15", 62: "gripper/x+0,y+0,z+0", 124: "gripper/x+15,y+15,z+15"}),
        ("leo/FetchPush-v0", 49, {0: "table/x-15,y-15", 24: "table/x+0,y+0"}),
        ("leo/FetchSlide-v0", 81, {0: "table/x+10,y-30", 80: "table/x+70,y+30"}),
        ("leo/FetchPickAndPlace-v0", 100, {0: "table/x-15,y-15", 1: "air/x-15,y-15,z+15", 99: "air/x+15,y+15,z+45"}),
        ("leo/PointMaze_Large-v0", 46, {0: "cell/1,1", 45: "cell/7,10"}),
        ("leo/HandReach-v0", 109, {0: "rest/hand", 1: "first/x-5,y-5,z-5", 108: "little/x+5,y+5,z+5"}),
        (KITCHEN, 7, {0: "task/bottom burner", 6: "task/kettle"}),
    ],
)
def test_default_grids(env_id: str, count: int, names: dict[int, str]) -> None:
    env = shared_env(env_id, **only_points(env_id)).unwrapped
    assert len(env.goal_names) == count
    assert {goal: env.goal_names[goal] for goal in names} == names


@pytest.mark.parametrize("env_id", [REACH, "leo/FetchPush-v0", "leo/FetchSlide-v0", "leo/FetchPickAndPlace-v0"])
def test_grid_spans_sampled_goals(env_id: str) -> None:
    env = shared_env(env_id, **only_points(env_id)).unwrapped
    sampled = np.array([env.reset(seed=seed)[0]["desired_goal"] for seed in range(60)])
    low, high = env.goal_points.min(axis=0) - 1e-6, env.goal_points.max(axis=0) + 1e-6
    assert ((sampled >= low) & (sampled <= high)).all()
    # The grid is not larger than necessary: sampled goals are close to both ends of each axis.
    assert (np.abs(sampled.min(axis=0) - low) <= 0.1 * (high - low) + 1e-5).all()
    assert (np.abs(sampled.max(axis=0) - high) <= 0.1 * (high - low) + 1e-5).all()


def test_other_grids() -> None:
    env = gym.make(MAZE, resolution=2, tolerance=0.2)
    assert len(env.unwrapped.goal_names) == 28
    assert env.unwrapped.goal_names[:2] == ("cell/0.75,0.75", "cell/0.75,1.25")
    corner = gym.make(MAZE, points=[[-1.0, 1.0]]).unwrapped
    assert corner.goal_names == ("cell/1,1",)
    middle = gym.make(REACH, resolution=(1, 1, 2)).unwrapped
    assert middle.goal_names == ("gripper/x+0,y+0,z-15", "gripper/x+0,y+0,z+15")
    named = gym.make(REACH, points=middle.goal_points.tolist()).unwrapped
    assert named.goal_names == middle.goal_names


def test_tolerance_is_inclusive() -> None:
    env = gym.make(MAZE, tolerance=0.25).unwrapped
    center = env.goal_points[0]
    boundary = center + np.array([0.25, 0.0], dtype=np.float32)
    for point, achieved in ((boundary, True), (np.nextafter(boundary, np.float32([9.0, 0.0])), False)):
        assert env.goal_set.achieved(point)[0] == achieved
        assert env.compute_reward(point, center, {}) == (0.0 if achieved else -1.0)


def test_point_goals_with_multi_goal_wrapper() -> None:
    inner = shared_env(REACH)
    two = PointGoals([[1.34, 0.75, 0.53], [1.4, 0.75, 0.5]], tolerance=0.05)
    env = MultiGoalWrapper(inner, two)
    observation, info = env.reset(seed=0)
    assert env.goal_names == two.names
    assert info["goals_achieved"].tolist() == two.achieved(observation["achieved_goal"]).tolist()


def test_commanded_goal_is_desired_goal() -> None:
    env = GoalConditionedWrapper(gym.make(REACH), on_success="continue")
    inner = env.unwrapped
    observation, info = env.reset(seed=0, options={"goal": "gripper/x+0,y+0,z+15"})
    goal = env.goal_id
    np.testing.assert_array_equal(observation["desired_goal"], inner.goal_points[goal])
    np.testing.assert_array_equal(inner.desired_goal, inner.goal_points[goal])
    rewards = []
    for _ in range(10):
        observation, reward, terminated, _, info = env.step([0.0, 0.0, 1.0, 0.0])
        assert reward == float(info["goals_achieved"][goal]) and not terminated
        own = env.get_wrapper_attr("compute_reward")(observation["achieved_goal"], observation["desired_goal"], info)
        assert own == reward
        rewards.append(reward)
    assert rewards[0] == 0.0 and 1.0 in rewards
    # After None, the environment samples the desired goal again at the next reset.
    inner.set_commanded_goal(None)
    assert not np.array_equal(inner.reset(seed=0)[0]["desired_goal"], inner.goal_points[goal])


def test_set_goal_only_changes_desired_goal() -> None:
    env = shared_env("leo/FetchPush-v0", helper_goals=False).unwrapped
    expected = rollout(env, seed=4, steps=8)
    env.reset(seed=4)
    goal = env.goal_points[3]
    env.set_goal(goal)
    generator = np.random.default_rng(4)
    for step in range(8):
        action = generator.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
        observation, reward, *_ = env.step(action)
        np.testing.assert_array_equal(observation["desired_goal"], goal)
        assert reward == env.compute_reward(observation["achieved_goal"], goal, {})
        np.testing.assert_array_equal(observation["observation"], expected[4 + 6 * step])


def test_desired_goal_option_of_reset() -> None:
    env = shared_env("leo/FetchPush-v0", helper_goals=False).unwrapped
    with_option, without = env.reset(seed=4, options={"desired_goal": env.goal_points[7]})[0], env.reset(seed=4)[0]
    np.testing.assert_array_equal(with_option["desired_goal"], env.goal_points[7])
    np.testing.assert_array_equal(with_option["observation"], without["observation"])


def test_reset_target_applies_from_next_observation() -> None:
    env = gym.make(MAZE, reset_target=True).unwrapped
    env.reset(seed=0, options={"reset_cell": (1, 1), "goal_cell": (3, 3)})
    position = env.data.qpos.copy()
    env.set_goal(position)
    observation, reward, terminated, _, info = env.step([0.0, 0.0])
    assert reward == 0.0 and info["is_success"] and not terminated
    np.testing.assert_array_equal(observation["desired_goal"], position.astype(np.float32))
    assert not env.goal_set.reaches(observation["achieved_goal"], env.desired_goal)
    following, reward, _, _, info = env.step([0.0, 0.0])
    assert reward == -1.0 and not info["is_success"]
    assert not np.array_equal(following["desired_goal"], observation["desired_goal"])
    # A commanded goal is not replaced.
    env.set_commanded_goal("cell/1,1")
    assert [env.step([0.0, 0.0])[4]["is_success"] for _ in range(3)] == [True] * 3


@pytest.mark.parametrize("cells", [{"reset_cell": (3, 2)}, {"goal_cell": np.array([1, 2]), "reset_cell": [3, 1]}])
def test_cell_options_of_reset(cells: dict) -> None:
    env = shared_env(MAZE).unwrapped
    observation, _ = env.reset(seed=1, options=dict(cells))
    points = {"reset_cell": observation["achieved_goal"], "goal_cell": observation["desired_goal"]}
    for key, cell in cells.items():
        # The 5 x 5 maze is centered at the origin; y points up.
        x, y = points[key]
        assert (round(2 - y), round(x + 2)) == tuple(cell)


def test_kitchen_mask_depends_only_on_current_state() -> None:
    env = shared_env(KITCHEN).unwrapped
    env.reset(seed=0)
    initial = env.data.qpos.copy()
    for goal, (indices, target) in enumerate(env._task_joints):
        env.data.qpos[:] = initial
        env.data.qpos[indices] = target
        observation, _, terminated, _, info = env.step(np.zeros(9))
        complete = [bool(np.linalg.norm(env.data.qpos[i] - t) < 0.3) for i, t in env._task_joints]
        assert info["goals_achieved"].tolist() == complete and complete[goal] and not terminated
        assert observation["achieved_goal"].tolist() == [float(task) for task in complete]
    # Unlike Gymnasium-Robotics' lists of completed tasks, the mask does not include earlier states.
    env.data.qpos[:] = initial
    env.data.qvel[:] = 0.0
    assert not env.step(np.zeros(9))[4]["goals_achieved"].any()


def test_kitchen_points_may_combine_tasks() -> None:
    env = shared_env(KITCHEN).unwrapped
    sampled = {int(np.flatnonzero(env.reset(seed=seed)[0]["desired_goal"])[0]) for seed in range(60)}
    assert sampled == set(range(7))
    complete = np.array([1, 1, 0, 0, 0, 0, 0], dtype=np.float32)
    assert env.compute_reward(complete, env.goal_points[0] + env.goal_points[1], {}) == 0.0
    assert env.compute_reward(complete, env.goal_points[0] + env.goal_points[2], {}) == -1.0
    assert env.compute_reward(complete, np.zeros(7), {}) == -1.0


@pytest.mark.parametrize("env_id", [REACH, "leo/FetchPickAndPlace-v0", MAZE, "leo/AntMaze_UMaze-v0", "leo/HandReach-v0"])
def test_target_site_moves_with_desired_goal(env_id: str) -> None:
    env = shared_env(env_id, **only_points(env_id)).unwrapped
    size = env.goal_points.shape[1] // len(env.target_sites)
    for goal in (0, -1):
        env.reset(seed=0)
        # Also for the sampled goal, and after the robot has moved.
        for desired in (env.desired_goal, env.goal_points[goal]):
            env.set_goal(desired)
            for _ in range(3):
                marked = np.concatenate([env.data.site(name).xpos[:size] for name in env.target_sites])
                np.testing.assert_allclose(marked, desired, atol=1e-6)
                env.step(env.action_space.high)


@pytest.mark.parametrize("env_id", [REACH, MAZE, "leo/HandReach-v0"])
def test_rendering_shows_target_and_keeps_dynamics(env_id: str) -> None:
    skip_without_rendering()
    env = gym.make(env_id, render_mode="rgb_array")
    env.reset(seed=3)
    inner = env.unwrapped
    first = env.render()
    inner.set_goal(inner.goal_points[-1])
    second = env.render()
    assert first.shape == second.shape == (480, 480, 3)
    size = inner.goal_points.shape[1] // len(inner.target_sites)
    marked = np.concatenate([inner.data.site(name).xpos[:size] for name in inner.target_sites])
    np.testing.assert_allclose(marked, inner.goal_points[-1], atol=1e-6)
    assert (first != second).any()
    generator = np.random.default_rng(3)
    expected = rollout(shared_env(env_id), seed=3, steps=6)
    observation, info = env.reset(seed=3)
    rendered = [*observation.values(), info["goals_achieved"]]
    for _ in range(6):
        env.render()
        action = generator.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
        observation, reward, _, _, info = env.step(action)
        rendered += [*observation.values(), info["goals_achieved"], reward, info["is_success"]]
    assert_equal(rendered, expected)
    env.close()


def test_sb3_her_replay_buffer() -> None:
    # A small maze, in which some random steps succeed.
    env = gym.make(MAZE, max_episode_steps=20)
    model = SAC(
        "MultiInputPolicy",
        env,
        replay_buffer_class=HerReplayBuffer,
        replay_buffer_kwargs={"n_sampled_goal": 4, "goal_selection_strategy": "future"},
        learning_starts=60,
        batch_size=64,
        policy_kwargs={"net_arch": [16]},
        seed=0,
    ).learn(100)
    batch = model.replay_buffer.sample(256)
    achieved, desired = batch.next_observations["achieved_goal"].numpy(), batch.observations["desired_goal"].numpy()
    expected = env.unwrapped.compute_reward(achieved, desired, [{}])
    np.testing.assert_array_equal(batch.rewards.numpy()[:, 0], expected)
    assert {-1.0, 0.0} == set(expected)


def test_subproc_vec_env() -> None:
    # Not forked: other tests may have started JAX's threads in this process, which do not survive a fork.
    vec_env_kwargs = {"start_method": "forkserver"}
    venv = make_vec_env(f"leo_envs:{MAZE}", n_envs=2, seed=0, vec_env_cls=SubprocVecEnv, vec_env_kwargs=vec_env_kwargs)
    try:
        sampler = VecGoalSampler(venv, "uniform", seed=0)
        observation = sampler.reset()
        assert observation["goal_id"].shape == (2,)
        points = shared_env(MAZE).unwrapped.goal_points
        np.testing.assert_array_equal(observation["desired_goal"], points[observation["goal_id"]])
        _, rewards, _, infos = sampler.step(np.zeros((2, 2), dtype=np.float32))
        assert [float(info["goals_achieved"][info["goal_id"]]) for info in infos] == rewards.tolist()
    finally:
        venv.close()


def test_mazes_leave_no_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for env_id in (MAZE, "leo/AntMaze_UMaze-v0"):
        env = gym.make(env_id)
        env.reset(seed=0)
        env.step(env.action_space.sample())
        env.close()
    assert glob.glob(f"{tmp_path}/*") == []


def test_gymnasium_vector_environment() -> None:
    envs = gym.make_vec(MAZE, num_envs=3, max_episode_steps=4, vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP})
    observations, infos = envs.reset(seed=0)
    assert infos["goals_achieved"].shape == (3, 7) and infos["goals_achieved"].dtype == np.bool_
    goals = envs.envs[0].unwrapped.goal_set
    for _ in range(4):
        observations, rewards, _, truncations, infos = envs.step(envs.action_space.sample())
        np.testing.assert_array_equal(infos["goals_achieved"], goals.achieved(observations["achieved_goal"]))
    assert truncations.all()
    last = infos["final_info"]
    np.testing.assert_array_equal(last["is_success"], rewards == 0)
    expected = [goals.achieved(observation["achieved_goal"]) for observation in infos["final_obs"]]
    np.testing.assert_array_equal(last["goals_achieved"], expected)
    envs.close()


def test_close_twice() -> None:
    for env_id in (REACH, MAZE, KITCHEN, "leo/PandaReach-v0"):
        env = gym.make(env_id)
        env.reset(seed=0)
        env.close()
        env.close()
