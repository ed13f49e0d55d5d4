"""LEODQN and LEOPQN with descriptors: values and actions for goals that were never trained on."""

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv

import leo_envs
from leo_agents import LEODQN, LEOPQN, LEOTD3
from leo_agents.evaluation import evaluate_goals
from leo_agents.learning.policy_data import load_policy
from leo_wrappers import GoalSet, MultiGoalWrapper, PointGoals

gym.register_envs(leo_envs)

ALGORITHMS = [LEODQN, LEOPQN]
MAP = ["S..", "...", "..#"]


def grid(goals=None):
    env = gym.make("leo/GridWorld-v0", map=MAP, max_episode_steps=20)
    if goals is None:
        return env
    return MultiGoalWrapper(env, env.unwrapped.goal_set.subset(goals), signal=env.unwrapped.goal_signal)


def make_model(algorithm=LEODQN, env=None, head="factored", **kwargs):
    if algorithm is LEOPQN and env is None:
        env = make_vec_env(grid, 2)
    steps = {"learning_starts": 20, "train_freq": 1} if algorithm is LEODQN else {"n_steps": 16, "batch_size": 16}
    policy_kwargs = {"net_arch": [32, 32], **kwargs.pop("policy_kwargs", {})}
    options = {"seed": 0, "device": "cpu", "policy_kwargs": policy_kwargs, **steps, **kwargs}
    return algorithm("MultiGoalPolicy", grid() if env is None else env, head=head, **options)


def observations():
    return grid().unwrapped.all_observations()


def descriptors():
    return grid().unwrapped.goal_set.descriptors


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_descriptors_come_from_the_goal_set(algorithm):
    model = make_model(algorithm).learn(32)
    assert np.array_equal(model.policy.descriptors, descriptors())
    assert np.allclose(model.q_values(observations(), descriptors()), model.q_values(observations()), atol=1e-6)
    for goal_id, descriptor in enumerate(descriptors()):
        assert model.act(observations()[0], descriptor) == model.act(observations()[0], goal_id)


def test_values_and_actions_of_other_goals_are_those_of_the_network():
    model = make_model().learn(32)
    points, states = np.array([[0.2, 0.7], [0.9, 0.1]], dtype=np.float32), observations()
    with th.no_grad():
        features = model.q_net.features(th.as_tensor(states))
        outputs = [model.q_net.head.for_goals(features, th.as_tensor(point).expand(len(states), -1)) for point in points]
    expected = th.sigmoid(th.stack(outputs, dim=1)).numpy()
    assert np.allclose(model.q_values(states, points), expected, atol=1e-6)
    assert np.allclose(model.values(states, points), expected.max(axis=2), atol=1e-6)
    assert np.allclose(model.expected_steps(states, points), 1 + np.log(expected.max(axis=2)) / np.log(model.gamma), rtol=1e-4)
    assert [model.act(state, points[1]) for state in states] == expected[:, 1].argmax(axis=1).tolist()


@pytest.mark.parametrize("goals", [None, GoalSet(["a", "b"], lambda signal: signal < 0.5, signal_shape=(2,))])
def test_one_hot_descriptors_describe_nothing(goals):
    model = make_model(
        env=MultiGoalWrapper(gym.make("CartPole-v1"), goals, signal=lambda obs, info: obs[:2]) if goals else None
    )
    assert model.policy.takes_descriptors == (goals is None)


def test_explicit_descriptors_are_kept():
    table = np.arange(16.0).reshape(8, 2)
    assert np.array_equal(make_model(policy_kwargs={"head_kwargs": {"descriptors": table}}).policy.descriptors, table)
    assert not make_model(policy_kwargs={"head_kwargs": {"descriptors": None}}).policy.takes_descriptors


def test_points_come_from_worker_processes():
    venv = make_vec_env(_plane_with_points, 2, vec_env_cls=SubprocVecEnv)
    model = make_model(env=venv)
    assert np.array_equal(model.policy.descriptors, np.float32([[0.0, 0.0], [0.1, 0.2]]))
    venv.close()


def _plane_with_points():
    return MultiGoalWrapper(gym.make("MountainCar-v0"), PointGoals([[0.0, 0.0], [0.1, 0.2]], tolerance=0.1))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_saved_loaded_and_exported_models_have_the_same_values(algorithm, tmp_path):
    model = make_model(algorithm).learn(32)
    points = [[0.2, 0.7], [0.9, 0.1]]
    expected = model.values(observations(), points)
    model.save(tmp_path / "model")
    agent = load_policy(tmp_path / "model.zip")
    loaded = algorithm.load(tmp_path / "model", env=grid())
    for other in (agent, loaded):
        assert np.array_equal(other.values(observations(), points), expected)
        assert other.act(observations()[3], points[0]) == model.act(observations()[3], points[0])
    loaded.learn(32)
    exported = model.policy.to_torchscript(goals="descriptor")(th.as_tensor(observations()), th.tensor(points[:1] * 8))
    assert np.allclose(exported.detach().numpy(), model.q_values(observations(), points[:1])[:, 0], atol=1e-6)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_resumed_run_equals_an_uninterrupted_one(algorithm, tmp_path):
    make_model(algorithm).learn(32).save_checkpoint(tmp_path)
    resumed = algorithm.resume(tmp_path).learn(32, reset_num_timesteps=False)
    # Created after it, because both draw from the global generators.
    uninterrupted = make_model(algorithm).learn(32).learn(32, reset_num_timesteps=False)
    points = descriptors()
    assert np.array_equal(resumed.values(observations(), points), uninterrupted.values(observations(), points))


def test_models_saved_without_descriptors_load_without_them(tmp_path):
    model = make_model(policy_kwargs={"head_kwargs": {"descriptors": None}}).learn(32)
    model.policy_kwargs["head_kwargs"] = None  # as stored by earlier versions
    model.save(tmp_path / "model")
    loaded = LEODQN.load(tmp_path / "model", env=grid())
    assert not loaded.policy.takes_descriptors
    assert np.array_equal(loaded.values(observations()), model.values(observations()))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_policy_for_other_goals_acts_for_them_by_name(algorithm, tmp_path):
    model = make_model(algorithm, grid([5, 0, 3])).learn(32)
    whole = grid().unwrapped.goal_set
    random_state = th.get_rng_state()
    policy = model.policy.with_goal_set(whole)
    assert th.equal(th.get_rng_state(), random_state)
    assert policy.goal_names == whole.names
    assert np.allclose(policy.values(observations()), model.values(observations(), whole.descriptors), atol=1e-6)
    assert np.allclose(policy.values(observations())[:, [5, 0, 3]], model.values(observations()), atol=1e-6)
    assert policy.act(observations()[0], "cell/1,2") == model.act(observations()[0], [0.5, 1.0])
    report = evaluate_goals(policy, grid(), goals=[1, 2], seed=0)
    assert report.goal_names == ("cell/0,1", "cell/0,2")
    policy.save(tmp_path / "policy")
    assert np.array_equal(type(policy).load(tmp_path / "policy").values(observations()), policy.values(observations()))


def test_goals_left_out_of_the_set_are_not_learned():
    """The loss has a column for each goal of the subset, and masks of the other goals do not enter it."""
    model = make_model(env=grid([5, 0, 3])).learn(40)
    batch = model._sample_batch(8)
    assert batch.returns_of(None).shape == (8, 3)
    assert model.learner.targets(batch).shape == (8, 3)


@pytest.mark.parametrize(
    "goal, message",
    [
        ([0.1], r"expected a descriptor of 2 numbers, got an array of shape \(1,\)"),
        ([[0.1, 0.2]], r"expected a descriptor of 2 numbers, got an array of shape \(1, 2\)"),
        ([np.nan, 0.0], "expected finite goals, got NaN or infinity"),
        ([0.2, np.inf], "expected finite goals, got NaN or infinity"),
        (
            [4.0, 1.0],
            r"expected goals between \[-2.0, -2.0\] and \[3.0, 3.0\], around those of the training, got \[4.0, 1.0\]",
        ),
        (["a", "b"], "expected goals to be an array of numbers"),
    ],
)
def test_bad_descriptors_are_rejected(goal, message):
    model = make_model()
    with pytest.raises(ValueError, match=message):
        model.act(observations()[0], goal)


def test_bad_arguments_are_rejected():
    model = make_model()
    with pytest.raises(ValueError, match=r"descriptors of shape \[K, 2\], got an array of shape \(2,\)"):
        model.values(observations(), [0.1, 0.2])
    with pytest.raises(ValueError, match=r"got \[\[9.0, 0.0\]\]; use the units"):
        model.values(observations(), [[0.5, 0.5], [9.0, 0.0]])
    with pytest.raises(ValueError, match="expected a single observation, got 8"):
        model.act(observations(), [0.1, 0.2])
    with pytest.raises(TypeError, match="expected goals to be a GoalSet"):
        model.policy.with_goal_set(["a"])
    with pytest.raises(ValueError, match="expected a policy that takes descriptors"):
        make_model(head="dense").policy.to_torchscript(goals="descriptor")


@pytest.mark.parametrize("algorithm", [LEODQN, LEOPQN, LEOTD3])
def test_models_whose_goals_are_indices_name_the_nearest_goal(algorithm):
    if algorithm is LEOTD3:
        env = gym.make("leo/MountainCarContinuous-v0")
        model = LEOTD3("MultiGoalPolicy", env, seed=0, device="cpu")
        goal, nearest = env.unwrapped.goal_set.descriptors[3] + 0.01, env.unwrapped.goal_names[3]
    else:
        model, goal, nearest = make_model(algorithm, head="dense"), [0.1, 0.45], "cell/0,1"
    obs, _ = model.get_env().envs[0].reset(seed=0) if algorithm is not LEOPQN else grid().reset()
    with pytest.raises(ValueError, match=f"names or indices of the .* the nearest to .* is {nearest!r}"):
        model.act(obs, goal)
    with pytest.raises(ValueError, match=f"the nearest to .* is {nearest!r}"):
        model.values(obs, goals=[goal])
    with pytest.raises(ValueError, match=r"names or indices of the .* goals of the model, got .*; see goal_names"):
        model.policy.values(obs, goals=[goal])
