"""Checkpoints: a resumed run equals an uninterrupted one. Saved models: other formats are rejected."""

import json
import subprocess
import sys
import zipfile

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium.vector import AutoresetMode
from stable_baselines3 import SAC
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize, unwrap_vec_wrapper

import leo_envs  # noqa: F401
import leo_wrappers
from leo_agents import LEODQN, LEOPQN, PQN, DualLEOPPO, DualLEOPQN, ExactCheckpoints, JumpStart, resume
from leo_agents.baselines import goal_conditioned_actor_critic, goal_conditioned_dqn
from leo_agents.learning.checkpoint_files import FORMAT, CheckpointFormatError, latest_checkpoint
from leo_agents.learning.model_format import MODEL_FORMAT
from leo_wrappers.sb3 import GymVecEnv, JaxVecEnv, VecGoalSampler
from tests.line_env import make_line
from tests.wanderer_env import Wanderer

ENVIRONMENTS = {
    "single": lambda: make_line(start=None),
    "dummy": lambda: DummyVecEnv([lambda: make_line(start=None)] * 3),
    "normalized": lambda: VecNormalize(
        VecGoalSampler(DummyVecEnv([make_line] * 2), goal_selector="least_achieved"),
        norm_obs_keys=["observation"],
        norm_reward=False,
    ),
    "native": lambda: GymVecEnv(
        gym.make_vec("leo/GridWorld-v0", num_envs=4, start="random", autoreset_mode=AutoresetMode.SAME_STEP)
    ),
    "jax": lambda: JaxVecEnv(Wanderer(), num_envs=3),
}


def make_model(env, **kwargs):
    options = {"learning_starts": 40, "batch_size": 16, "buffer_size": 130, "policy_kwargs": {"net_arch": [16]}}
    return LEODQN("MultiGoalPolicy", env, seed=5, device="cpu", target_update_freq=8, **{**options, **kwargs})


def training_state(model):
    """Return weights, optimizer state, replay buffer, goal statistics and draws of all random number generators."""
    parameters = model.get_parameters()
    moments = [state[key] for state in parameters["policy.optimizer"]["state"].values() for key in sorted(state)]
    selector = model.goal_sampler.goal_selector
    arrays = [*parameters["policy"].values(), *moments, th.get_rng_state()]
    arrays = [array.numpy() for array in arrays]
    return [
        *arrays,
        model.replay_buffer.packed_masks,
        model.replay_buffer.goal_ids,
        model.replay_buffer.actions,
        *model.replay_buffer.observations.values(),
        *model._last_obs.values(),
        selector.attempts,
        selector.successes,
        selector.rng.random(3),
        np.random.random(3),
        np.array([model.num_timesteps, model._n_updates, model.exploration_rate, model._episode_num]),
    ]


def assert_same(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


RESUME = """
import sys, pickle
from leo_agents import LEODQN
from tests.agents.test_checkpoints import training_state
model = LEODQN.resume(sys.argv[1])
model.learn(int(sys.argv[2]) - model.num_timesteps, reset_num_timesteps=False)
pickle.dump(training_state(model), open(sys.argv[3], "wb"))
"""


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_a_resumed_run_equals_an_uninterrupted_one_in_a_new_process(kind, tmp_path):
    """Compare a run of 480 steps with one resumed from its checkpoint at step 240."""
    callback = ExactCheckpoints(tmp_path / "halfway", save_freq=240)
    expected = training_state(make_model(ENVIRONMENTS[kind]()).learn(480))
    make_model(ENVIRONMENTS[kind]()).learn(480, callback=callback)
    assert latest_checkpoint(tmp_path / "halfway").name == "step-000000000240"
    arguments = [str(tmp_path / "halfway"), "480", str(tmp_path / "result.pkl")]
    subprocess.run([sys.executable, "-c", RESUME, *arguments], check=True)
    assert_same(np.load(tmp_path / "result.pkl", allow_pickle=True), expected)


def make_rollout_model(kind, env):
    options = {"n_steps": 10, "batch_size": 20, "policy_kwargs": {"net_arch": [16], "input_norm": True}}
    if kind is PQN:
        return PQN("GoalInputPolicy", env, seed=5, device="cpu", her_ratio=0.5, **options)
    if kind in (DualLEOPQN, DualLEOPPO):
        options |= {"jump_start": JumpStart(6, 1.0), "teacher_update_fraction": 0.6, "teacher_kwargs": {"policy_kwargs": {}}}
        return kind("MultiInputPolicy", env, seed=5, device="cpu", **{**options, "policy_kwargs": {"net_arch": [16]}})
    return LEOPQN("MultiGoalPolicy", env, seed=5, device="cpu", goals_per_update=3, paper_mode=True, **options)


def rollout_training_state(model):
    """Return the same for algorithms without a replay buffer."""
    parameters = model.get_parameters()
    arrays = []
    for name in sorted(parameters):
        values = parameters[name]
        if name.endswith("optimizer"):
            values = {f"{row}/{key}": value for row, state in values["state"].items() for key, value in state.items()}
        arrays += [values[key].numpy() for key in sorted(values)]
    selector = model.goal_sampler.goal_selector
    statistics = [selector.attempts, selector.successes, selector.seen, selector.rng.random(3), np.random.random(3)]
    numbers = [model.num_timesteps, model._n_updates, getattr(model, "exploration_rate", 0.0), model.lr_schedule(0.3)]
    if isinstance(model, DualLEOPQN | DualLEOPPO):
        statistics += [model.jump_start._steps_left, model.jump_start.rng.random(3)]
    return [*arrays, th.get_rng_state().numpy(), *model._last_obs.values(), *statistics, np.array(numbers)]


RESUME_ROLLOUTS = """
import sys, pickle
import leo_agents
from tests.agents.test_checkpoints import rollout_training_state
model = getattr(leo_agents, sys.argv[4]).resume(sys.argv[1])
model.learn(int(sys.argv[2]) - model.num_timesteps, reset_num_timesteps=False)
pickle.dump(rollout_training_state(model), open(sys.argv[3], "wb"))
"""


@pytest.mark.parametrize(
    ("kind", "environment"),
    [
        (LEOPQN, "native"),
        (LEOPQN, "jax"),
        (LEOPQN, "normalized"),
        (PQN, "native"),
        (DualLEOPQN, "native"),
        (DualLEOPPO, "native"),
    ],
)
def test_a_resumed_rollout_algorithm_equals_an_uninterrupted_one_in_a_new_process(kind, environment, tmp_path):
    uninterrupted = make_rollout_model(kind, ENVIRONMENTS[environment]())
    num_steps = 8 * 10 * uninterrupted.n_envs
    uninterrupted.learn(num_steps)
    callback = ExactCheckpoints(tmp_path / "halfway", save_freq=num_steps // 2)
    make_rollout_model(kind, ENVIRONMENTS[environment]()).learn(num_steps, callback=callback)
    assert latest_checkpoint(tmp_path / "halfway").name == f"step-{num_steps // 2:012d}"
    arguments = [str(tmp_path / "halfway"), str(num_steps), str(tmp_path / "result.pkl"), kind.__name__]
    subprocess.run([sys.executable, "-c", RESUME_ROLLOUTS, *arguments], check=True)
    assert_same(np.load(tmp_path / "result.pkl", allow_pickle=True), rollout_training_state(uninterrupted))


@pytest.mark.parametrize("kind", ["dqn", "sac"])
def test_a_resumed_baseline_equals_an_uninterrupted_one(kind, tmp_path):
    def make():
        options = {"buffer": "her", "seed": 5, "learning_starts": 40, "batch_size": 16, "buffer_size": 300, "device": "cpu"}
        if kind == "dqn":
            return goal_conditioned_dqn(make_line(start=None), **options)
        env = gym.make("leo/MountainCarContinuous-v0", max_episode_steps=30)
        return goal_conditioned_actor_critic(SAC, env, **options)

    uninterrupted = make().learn(120)
    make().learn(120, callback=ExactCheckpoints(tmp_path, save_freq=60))
    resumed = resume(type(uninterrupted), tmp_path)
    assert 60 <= resumed.num_timesteps < 120
    resumed.learn(120 - resumed.num_timesteps, reset_num_timesteps=False)
    for name, value in uninterrupted.policy.state_dict().items():
        assert th.equal(value, resumed.policy.state_dict()[name]), name
    samplers = [unwrap_vec_wrapper(model.env, VecGoalSampler) for model in (uninterrupted, resumed)]
    np.testing.assert_array_equal(*(sampler.goal_selector.attempts for sampler in samplers))


def test_saving_between_two_calls_of_learn(tmp_path):
    uninterrupted = make_model(make_line()).learn(200)
    uninterrupted.learn(200, reset_num_timesteps=False)
    expected = training_state(uninterrupted)
    saved = make_model(make_line()).learn(200)
    saved.save_checkpoint(tmp_path)
    th.manual_seed(99)  # resume must restore the generator
    resumed = LEODQN.resume(tmp_path).learn(200, reset_num_timesteps=False)
    assert_same(training_state(resumed), expected)


def test_the_two_newest_checkpoints_are_kept(tmp_path):
    model = make_model(make_line()).learn(50)
    model.save_checkpoint(tmp_path)
    model.save_checkpoint(tmp_path)
    model.learn(20, reset_num_timesteps=False)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000000052"]
    newest = [model.learn(20, reset_num_timesteps=False).save_checkpoint(tmp_path) for _ in range(2)]
    assert sorted(tmp_path.iterdir()) == newest
    newest = model.learn(20, reset_num_timesteps=False).save_checkpoint(tmp_path, keep=1)
    assert list(tmp_path.iterdir()) == [newest]


def test_environments_in_subprocesses_are_left_out_with_a_warning(tmp_path):
    model = make_model(SubprocVecEnv([make_line], start_method="forkserver")).learn(60)
    with pytest.warns(UserWarning, match=r"leaves out the environment, which cannot be pickled.*resume with env="):
        checkpoint = model.save_checkpoint(tmp_path)
    model.env.close()
    (checkpoint / "env.pkl").write_bytes(b"not loaded, as the manifest does not list it")
    with pytest.raises(ValueError, match="pass env="):
        LEODQN.resume(tmp_path)
    resumed = LEODQN.resume(tmp_path, env=make_line())
    assert resumed.goal_sampler.goal_selector.attempts.tolist() == model.goal_sampler.goal_selector.attempts.tolist()
    resumed.learn(20, reset_num_timesteps=False)
    assert resumed.num_timesteps == 80


def test_environments_that_pickle_their_constructor_arguments_only_are_left_out(tmp_path):
    class Stateless(gym.Wrapper, gym.utils.EzPickle):
        def __init__(self):
            gym.utils.EzPickle.__init__(self)
            super().__init__(make_line())

    model = make_model(Stateless()).learn(60)
    with pytest.warns(UserWarning, match="whose Stateless pickles its constructor arguments only"):
        model.save_checkpoint(tmp_path)


@pytest.mark.parametrize("env", [None, make_line])
def test_checkpoints_of_another_format_are_rejected_before_unpickling(env, tmp_path):
    checkpoint = make_model(make_line()).learn(50).save_checkpoint(tmp_path)
    (checkpoint / "checkpoint.json").write_text(json.dumps({"format": 2, "leo-rl": "0.0.9"}))
    for path in [*checkpoint.glob("*.pkl"), checkpoint / "model.zip"]:
        path.write_bytes(b"unpickling this would raise another error")
    before = {path: path.read_bytes() for path in checkpoint.iterdir()}
    expected = (
        f"expected a checkpoint of format {FORMAT}, as written by leo-rl {leo_wrappers.__version__}, in "
        ".*got format 2, written by leo-rl 0.0.9"
    )
    with pytest.raises(CheckpointFormatError, match=expected):
        LEODQN.resume(tmp_path, env=None if env is None else env())
    assert {path: path.read_bytes() for path in checkpoint.iterdir()} == before


def test_nothing_to_resume(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected a checkpoint"):
        LEODQN.resume(tmp_path)
    (tmp_path / ".partial-123").mkdir()
    with pytest.raises(FileNotFoundError, match="found none"):
        LEODQN.resume(tmp_path)


def rewrite_model(path, changes):
    """Change the entries of a saved model: its data (None deletes a key), and all others to bytes that cannot be loaded."""
    with zipfile.ZipFile(path) as archive:
        data, names = json.loads(archive.read("data")), archive.namelist()
    data = {key: value for key, value in {**data, **changes}.items() if value is not None}
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, json.dumps(data) if name == "data" else b"loading this would raise another error")


@pytest.mark.parametrize("env", [None, make_line])
@pytest.mark.parametrize(("model_format", "found"), [(None, 1), (1, 1), (MODEL_FORMAT + 1, MODEL_FORMAT + 1)])
def test_models_of_another_format_are_rejected(model_format, found, env, tmp_path):
    """A model saved before there were formats has format 1."""
    path = tmp_path / "model.zip"
    make_model(make_line()).save(path)
    rewrite_model(path, {"model_format": model_format})
    before = path.read_bytes()
    expected = (
        f"expected a model of format {MODEL_FORMAT}, as saved by leo-rl {leo_wrappers.__version__}, got format {found} in"
    )
    for name in (path, str(tmp_path / "model")):
        with pytest.raises(ValueError, match=expected):
            LEODQN.load(name, env=None if env is None else env())
    with open(path, "rb") as file, pytest.raises(ValueError, match=expected):
        LEODQN.load(file)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_files_that_are_no_models_are_rejected(tmp_path):
    (tmp_path / "text.zip").write_text("no zip file")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with zipfile.ZipFile(tmp_path / "list.zip", "w") as archive:
        archive.writestr("data", "[2]")
    make_model(make_line()).save(tmp_path / "compression.zip")
    content = bytearray((tmp_path / "compression.zip").read_bytes())
    with zipfile.ZipFile(tmp_path / "compression.zip") as archive:
        content[archive.start_dir + 10] = 99  # compression method of the first entry
    (tmp_path / "compression.zip").write_bytes(content)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for path in before:
        with pytest.raises(ValueError, match=rf"expected a saved model, got .*{path.name}.*; check the path"):
            LEODQN.load(path)
    with pytest.raises(FileNotFoundError):
        LEODQN.load(tmp_path / "missing")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
