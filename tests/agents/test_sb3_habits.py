"""What users of Stable-Baselines3 expect of every algorithm."""

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.torch_layers import CombinedExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from leo_agents import LEODQN, LEOPQN, LEOSAC, LEOTD3, PQN, DualLEOPPO, DualLEOPQN
from leo_wrappers import MultiGoalWrapper, PointGoals
from tests.line_env import LineEnv, make_line
from tests.walled_box_env import WalledBoxEnv

OFF_POLICY = [LEODQN, LEOTD3, LEOSAC]
CONTINUOUS = [LEOTD3, LEOSAC]
ALGORITHMS = [*OFF_POLICY, LEOPQN, PQN, DualLEOPQN, DualLEOPPO]


def make_model(kind, env=None, **kwargs):
    if kind in OFF_POLICY:
        env = env or (make_line() if kind is LEODQN else WalledBoxEnv(horizon=20))
        kwargs = {"buffer_size": 1_000, "learning_starts": 10, "batch_size": 16, **kwargs}
    else:
        env, kwargs = env or DummyVecEnv([make_line] * 4), {"n_steps": 8, "batch_size": 16, **kwargs}
    return kind("MultiGoalPolicy", env, seed=0, device="cpu", **kwargs)


class MatrixActions(gym.Env):
    observation_space = spaces.Box(-1.0, 1.0, (3,))
    action_space = spaces.Box(-2.0, 2.0, (2, 3))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, dtype=np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action)
        return np.tanh(action[0]), 0.0, False, False, {}


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_load_with_policy_kwargs_of_the_training(kind, tmp_path):
    make_model(kind, policy_kwargs={"net_arch": [16]}).save(tmp_path / "model")
    for policy_kwargs in ({"net_arch": [16]}, {}, None):
        assert kind.load(tmp_path / "model", policy_kwargs=policy_kwargs).policy_kwargs["net_arch"] == [16]
    with pytest.raises(ValueError, match=r"{'net_arch': \[16\]}, got {'net_arch': \[32\]}; leave policy_kwargs out"):
        kind.load(tmp_path / "model", policy_kwargs={"net_arch": [32]})


def test_load_with_descriptors_of_the_training(tmp_path):
    descriptors = np.arange(5.0).reshape(5, 1)
    make_model(PQN, policy_kwargs={"descriptors": descriptors}).save(tmp_path / "model")
    PQN.load(tmp_path / "model", policy_kwargs={"descriptors": descriptors})
    with pytest.raises(ValueError, match="leave policy_kwargs out"):
        PQN.load(tmp_path / "model", policy_kwargs={"descriptors": descriptors + 1.0})


def test_use_sde_is_refused():
    with pytest.raises(ValueError, match=r"use_sde=False, got True: .* one policy per goal; .*random_action_repeat"):
        make_model(LEOSAC, use_sde=True)


@pytest.mark.parametrize("kind", OFF_POLICY)
def test_her_replay_buffer_is_refused(kind):
    with pytest.raises(ValueError, match=r"got HerReplayBuffer; leave it out: .*leo_agents\.baselines"):
        make_model(kind, replay_buffer_class=HerReplayBuffer)


@pytest.mark.parametrize("kind", [LEODQN, LEOPQN, PQN, *CONTINUOUS])
def test_networks_predict_save_and_load(kind, tmp_path):
    model = make_model(kind)
    network = model.actor if kind in CONTINUOUS else model.policy.q_net
    observation = {"observation": model.env.reset()["observation"][:1].repeat(3, axis=0), "goal_id": np.array([0, 3, 1])}
    expected, _ = model.predict(observation, deterministic=True)
    single = {key: value[1] for key, value in observation.items()}
    network.save(tmp_path / "network")
    for one in (network, type(network).load(tmp_path / "network", device="cpu")):
        np.testing.assert_array_equal(one.predict(observation, deterministic=True)[0], expected)
        np.testing.assert_array_equal(one.predict(single, deterministic=True)[0], model.predict(single, deterministic=True)[0])
        with pytest.raises(ValueError, match="observation with 'goal_id', got one without"):
            one.predict(observation["observation"])


def test_predict_explains_the_result_of_reset():
    env = make_line()
    with pytest.raises(ValueError, match="mixing Gym API"):
        LEODQN("MultiGoalPolicy", env, device="cpu").predict(env.reset())


@pytest.mark.parametrize("kind", OFF_POLICY)
def test_batch_size_above_buffer_size(kind):
    model = make_model(kind, buffer_size=20, batch_size=64).learn(40)
    assert model._n_updates > 0 and len(model._sample_batch(64).rewards) == 64


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_networks_without_hidden_layers(kind, recwarn):
    model = make_model(kind, policy_kwargs={"net_arch": []}).learn(64)
    assert not [warning for warning in recwarn if "zero-element" in str(warning.message)]
    assert np.isfinite(model.values(model.env.reset()["observation"])).all()


@pytest.mark.parametrize("kind", CONTINUOUS)
@pytest.mark.parametrize("share", [False, True])
def test_share_features_extractor(kind, share, tmp_path):
    class Features(th.nn.Module):
        features_dim = 4

        def __init__(self, space):
            super().__init__()
            self.layer = th.nn.Linear(space.shape[0], self.features_dim)

        def forward(self, observations):
            return self.layer(observations)

    options = {"features_extractor_class": Features, "share_features_extractor": share}
    model = make_model(kind, policy_kwargs=options, learning_rate=1e-2).learn(40)
    actor, critic = model.actor.features_extractor, model.critic.features_extractor
    assert (actor is critic) == share
    trained = {id(parameter) for group in model.critic.optimizer.param_groups for parameter in group["params"]}
    assert (id(critic.layer.weight) in trained) != share
    # The actor's loss trains a shared features extractor.
    before = actor.layer.weight.clone()
    model.train(5, 16)
    assert not th.equal(actor.layer.weight, before)
    assert not th.equal(model.critic_target.features_extractor.layer.weight, critic.layer.weight)
    if share:
        batch, critic.layer.weight.grad = model._sample_batch(16), None
        model.critic_loss(batch, model.targets(batch)).backward()
        assert critic.layer.weight.grad is None
    model.save(tmp_path / "model")
    loaded = kind.load(tmp_path / "model", policy_kwargs=options)
    assert th.equal(loaded.critic.features_extractor.layer.weight, critic.layer.weight)


@pytest.mark.parametrize("kind", CONTINUOUS)
def test_actions_of_two_dimensions(kind):
    def make_env():
        return MultiGoalWrapper(gym.wrappers.TimeLimit(MatrixActions(), 10), PointGoals(np.eye(3), 0.5))

    for env in (make_env(), DummyVecEnv([make_env] * 2)):
        model = make_model(kind, env).learn(40)
        assert model.act(np.zeros(3, dtype=np.float32), 1).shape == (2, 3)


@pytest.mark.parametrize("kind", OFF_POLICY)
def test_gradient_steps(kind):
    """0 for no training, -1 for as many as environment steps since the last training."""
    for gradient_steps, updates in ((0, 0), (-1, 30)):
        model = make_model(kind, train_freq=5, gradient_steps=gradient_steps)
        before = [parameter.clone() for parameter in model.policy.parameters()]
        model.learn(40)
        assert model._n_updates == updates
        assert all(map(th.equal, before, model.policy.parameters())) == (gradient_steps == 0)


@pytest.mark.parametrize("kind", OFF_POLICY)
@pytest.mark.parametrize(("num_envs", "train_freq"), [(1, 1), (1, 7), (3, 1), (8, 2)])
def test_replay_ratio(kind, num_envs, train_freq):
    """As many gradient steps per transition with any number of environments, also over several calls of ``learn``."""
    steps = num_envs * train_freq * 10
    env = DummyVecEnv([make_line if kind is LEODQN else lambda: WalledBoxEnv(horizon=20)] * num_envs)
    model = make_model(kind, env, train_freq=train_freq, replay_ratio=0.3, learning_starts=0).learn(steps // 2)
    model.learn(steps - model.num_timesteps, reset_num_timesteps=False)
    assert model.num_timesteps == steps and model._n_updates == int(0.3 * steps)


def test_replay_ratio_excludes_gradient_steps():
    with pytest.raises(ValueError, match=r"expected gradient_steps or replay_ratio, got 2 and 0\.5"):
        make_model(LEODQN, gradient_steps=2, replay_ratio=0.5)


@pytest.mark.parametrize("kind", OFF_POLICY)
def test_target_networks_stay_with_tau_0(kind):
    model = make_model(kind, tau=0)
    online, target = (model.q_net, model.q_net_target) if kind is LEODQN else (model.critic, model.critic_target)
    before = [parameter.clone() for parameter in target.parameters()]
    model.learn(40)
    assert all(map(th.equal, before, target.parameters())) and not all(map(th.equal, before, online.parameters()))


def test_features_extractors_of_dual_leo_ppo():
    """Without an argument for descriptors, an extractor reads the goal as one-hot; descriptors would be lost."""
    options = {"policy_kwargs": {"features_extractor_class": CombinedExtractor}}
    model = make_model(DualLEOPPO, goal_input="one_hot", **options).learn(32)
    assert model.policy.features_dim == 1 + len(model.goal_names)
    with pytest.raises(TypeError, match=r"takes descriptors, got CombinedExtractor\(observation_space, .*goal_input="):
        make_model(DualLEOPPO, **options)


@pytest.mark.parametrize("kind", [LEODQN, LEOPQN])
def test_asynchronous_environments(kind):
    envs = AsyncVectorEnv([make_line] * 2, context="forkserver", autoreset_mode=AutoresetMode.SAME_STEP)
    try:
        assert make_model(kind, envs).learn(64).num_timesteps >= 64
    finally:
        envs.close()


def test_environments_without_goals_in_other_processes():
    venv = SubprocVecEnv([LineEnv] * 2)
    try:
        with pytest.raises(ValueError, match="goal_names, got some without; wrap each with MultiGoalWrapper"):
            make_model(LEODQN, venv)
        assert venv.reset().shape == (2, 1)  # the processes are alive
    finally:
        venv.close()
