"""RayVecEnv equals the same environments in this process, and its actors come back."""

import os
import pickle
import signal
import sys
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.env_util import make_vec_env

import leo_envs  # noqa: F401
from leo_agents import LEODQN, resume
from leo_agents.distributed import RayVecEnv
from leo_wrappers.sb3 import GymVecEnv, VecGoalSampler, step_arrays

GRIDWORLD = "leo_envs:leo/GridWorld-v0"
SHORT = {"max_episode_steps": 9}


def shard(n_envs: int = 3):
    """Return a function that creates the environments of an actor."""
    return partial(make_vec_env, GRIDWORLD, n_envs=n_envs, env_kwargs=SHORT)


def make_env_with_pid():
    """Return such a function for environments that know their process."""

    # Nested functions are sent by value: actors cannot import the tests.
    def make_env():
        env = gym.make(GRIDWORLD, max_episode_steps=9)
        env.unwrapped.pid = os.getpid()
        return env

    return make_env


def gym_vector(n_envs: int):
    """Return a function that creates a vector environment."""
    return partial(gym.make_vec, GRIDWORLD, num_envs=n_envs, autoreset_mode=AutoresetMode.SAME_STEP)


@pytest.fixture(scope="module", autouse=True)
def cluster(request):
    """Start one cluster for all tests, each of which takes seconds to start one."""
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture
def pair():
    """Environments in two actors, and the same in this process."""
    venv, local = RayVecEnv(shard(), num_actors=2, num_cpus=0.1), make_vec_env(GRIDWORLD, n_envs=6, env_kwargs=SHORT)
    yield venv, local
    venv.close()


def assert_equal(result, expected):
    """Compare nested arrays exactly, with their types."""
    if isinstance(expected, dict):
        assert result.keys() == expected.keys()
        for key in expected.keys() - {"t"}:  # the duration of an episode, which Monitor reports
            assert_equal(result[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(result) == len(expected)
        for one, other in zip(result, expected, strict=True):
            assert_equal(one, other)
    else:
        assert np.asarray(result).dtype == np.asarray(expected).dtype
        np.testing.assert_array_equal(result, expected)


def test_steps_equal_those_of_one_process(pair):
    venv, local = pair
    assert venv.num_envs == 6 and venv.observation_space == local.observation_space
    venv.seed(3)
    local.seed(3)
    assert_equal(venv.reset(), local.reset())
    assert_equal(venv.reset_infos, local.reset_infos)
    rng, ends = np.random.default_rng(0), 0
    for _ in range(40):
        actions = rng.integers(4, size=6)
        result, expected = venv.step(actions), local.step(actions)
        assert_equal(result, expected)
        assert_equal(venv.reset_infos, local.reset_infos)
        ends += int(expected[2].sum())
    assert ends >= 12


def test_array_steps_with_commanded_goals_equal_those_of_one_process(pair):
    samplers = [VecGoalSampler(venv, seed=0, on_success="terminate") for venv in pair]
    for sampler in samplers:
        sampler.seed(5)
    assert_equal(*(sampler.reset() for sampler in samplers))
    rng, successes = np.random.default_rng(0), 0
    for _ in range(40):
        actions = rng.integers(4, size=6)
        steps = [step_arrays(sampler, actions) for sampler in samplers]
        successes += int(steps[1].rewards.sum())
        for result, expected in zip(*(step._replace(infos=list(step.infos)) for step in steps), strict=True):
            assert (result is None) == (expected is None)
            if expected is not None:
                assert_equal(result, expected)
    assert successes


def test_training_equals_that_in_one_process(pair):
    weights = []
    for venv in pair:
        model = LEODQN("MultiGoalPolicy", venv, buffer_size=1000, learning_starts=30, seed=0).learn(180)
        weights.append([value.numpy() for value in model.policy.state_dict().values()])
    assert_equal(*weights)


def test_gymnasium_vectors_as_shards():
    venv = RayVecEnv([gym_vector(2), gym_vector(3)], num_cpus=0.1)
    shards = [GymVecEnv(gym_vector(2)()), GymVecEnv(gym_vector(3)())]
    venv.seed(7)
    for local, seed in zip(shards, (7, 9), strict=True):
        local.seed(seed)
    assert_equal(venv.reset(), np.concatenate([local.reset() for local in shards]))
    for step in range(30):
        actions = np.full(5, step % 4)
        obs, rewards, dones, infos = venv.step(actions)
        local_steps = [local.step(part) for local, part in zip(shards, np.split(actions, [2]), strict=True)]
        for result, parts in zip((obs, rewards, dones), list(zip(*local_steps, strict=True))[:3], strict=True):
            assert_equal(result, np.concatenate(parts))
        assert_equal(list(infos), [info for part in local_steps for info in part[3]])
    venv.close()


def test_environments_without_goals():
    venv = RayVecEnv(partial(make_vec_env, "CartPole-v1", n_envs=2), num_actors=2, num_cpus=0.1)
    local = make_vec_env("CartPole-v1", n_envs=4)
    venv.seed(0)
    local.seed(0)
    assert_equal(venv.reset(), local.reset())
    for _ in range(30):
        assert_equal(venv.step(np.ones(4, dtype=int)), local.step(np.ones(4, dtype=int)))
    venv.close()


def test_attributes_and_methods(pair):
    venv, local = pair
    assert venv.has_attr("goal_names") and not venv.has_attr("no_such_attribute")
    assert venv.get_attr("goal_names", [4, 1]) == local.get_attr("goal_names", [4, 1])
    with pytest.raises(AttributeError):
        venv.get_attr("no_such_attribute")
    venv.set_attr("label", "right", [5, 2])
    venv.set_attr("number", 7)
    assert venv.get_attr("label", [2, 5]) == ["right", "right"] and venv.get_attr("number") == [7] * 6
    assert venv.env_method("get_wrapper_attr", "label", indices=-1) == ["right"]
    assert venv.env_is_wrapped(TimeLimit) == local.env_is_wrapped(TimeLimit)
    venv.seed(0)
    local.seed(0)
    venv.reset()
    local.reset()
    assert_equal(venv.get_images(), list(local.get_images()))


def test_a_killed_actor_comes_back(capfd):
    venv = RayVecEnv(make_env_with_pid(), num_actors=2, num_cpus=0.1)
    sampler = VecGoalSampler(venv, seed=0)
    sampler.reset()
    before = step_arrays(sampler, np.zeros(2, dtype=int))
    first, second = venv.get_attr("pid")
    os.kill(second, signal.SIGKILL)
    with pytest.warns(UserWarning, match="Actor 1 of 2 died and was restarted: its 1 environments start new episodes"):
        step = step_arrays(sampler, np.zeros(2, dtype=int))
    assert step.dones.tolist() == [False, True] and not step.terminated.any()
    assert step.infos[1]["TimeLimit.truncated"]
    assert_equal(step.final_obs["observation"][0], before.obs["observation"][1])
    assert_equal(step.goals_achieved[1], before.goals_achieved[1])
    assert venv.get_attr("pid")[0] == first != venv.get_attr("pid")[1] != second
    assert not step_arrays(sampler, np.zeros(2, dtype=int)).dones.any()
    venv.close()


def test_a_checkpoint_leaves_out_the_environments(pair, tmp_path):
    venv, _ = pair
    model = LEODQN("MultiGoalPolicy", venv, buffer_size=1000, learning_starts=30, seed=0).learn(60)
    with pytest.warns(UserWarning, match="The checkpoint leaves out the environment, which cannot be pickled"):
        model.save_checkpoint(tmp_path)
    assert resume(LEODQN, tmp_path, venv).learn(60, reset_num_timesteps=False).num_timesteps >= 120
    with pytest.raises(TypeError, match="got a RayVecEnv; create it again"):
        pickle.dumps(venv)


@pytest.mark.parametrize(
    ("make_env", "options", "error", "message"),
    [
        (shard(), {}, ValueError, "expected num_actors"),
        (shard(), {"num_actors": 0}, ValueError, "num_actors"),
        (shard(), {"num_actors": 1.5}, (ValueError, TypeError), "num_actors"),
        (GRIDWORLD, {"num_actors": 1}, TypeError, "make_env"),
        ([], {}, ValueError, "one function per actor"),
        ([shard()], {"num_actors": 2}, ValueError, "one function per actor"),
        (shard(), {"num_actors": 1, "num_cpus": -1}, ValueError, "num_cpus"),
        (shard(), {"num_actors": 1, "num_cpus": "all"}, (ValueError, TypeError), "num_cpus"),
        (shard(), {"num_actors": 1, "address": 3}, TypeError, "address"),
        (shard(), {"num_actors": 3, "num_cpus": 1}, ValueError, r"3 CPU for 3 actors, got 2; .* \(at most 2 fit\)"),
        (partial(make_vec_env, "CartPole-v7"), {"num_actors": 1}, gym.error.Error, "CartPole"),
        (lambda: 3, {"num_actors": 1, "num_cpus": 0.1}, TypeError, "got"),
        ([shard(), partial(make_vec_env, "CartPole-v1")], {"num_cpus": 0.1}, ValueError, "got .* from actor 1"),
    ],
)
def test_bad_input(make_env, options, error, message):
    with pytest.raises(error, match=message):
        RayVecEnv(make_env, **options)


def test_an_environment_that_raises(pair):
    venv, _ = pair
    venv.reset()
    with pytest.raises((TypeError, ValueError)):
        venv.step(np.full(6, 99))
    with pytest.raises(ValueError, match="one per environment"):
        venv.step(np.zeros(5, dtype=int))


def test_ray_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'pip install "leo-rl\[ray\]"'):
        RayVecEnv(shard(), num_actors=1)
