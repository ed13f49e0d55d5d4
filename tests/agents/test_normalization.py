"""Normalized observations: exact statistics, unchanged inputs, one module for all networks, saved and resumed."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import SAC, TD3
from stable_baselines3.common.vec_env import DummyVecEnv

from leo_agents import LEODQN, LEOPQN, LEOSAC, LEOTD3, PQN, DualLEOPPO, DualLEOPQN, distill, resume
from leo_agents.baselines import (
    goal_conditioned_actor_critic,
    goal_conditioned_dqn,
    goal_conditioned_ppo,
    goal_env_actor_critic,
)
from leo_agents.evaluation import evaluate_goals
from leo_agents.learning.checkpoints import save_checkpoint
from leo_agents.learning.policy_data import load_policy
from leo_agents.networks.normalization import CLIP, MIN_STD, NormalizedExtractor, ObservationNormalizer
from leo_wrappers import MultiGoalWrapper, PointGoals

INF = np.inf
OFF_POLICY, ON_POLICY = (LEODQN, LEOTD3, LEOSAC), (LEOPQN, PQN, DualLEOPQN, DualLEOPPO)
BASELINES = ("dqn", "td3", "ppo", "goal_env_sac")


class FarEnv(gym.Env):
    """A position in [0, 1] on a line with coordinates near 1,000, where the goals are five points 0.2 apart."""

    def __init__(self, continuous=False, offset=1_000.0, horizon=15, as_dict=False):
        self.continuous, self.offset, self.horizon, self.as_dict = continuous, offset, horizon, as_dict
        box = spaces.Box(-INF, INF, (1,), np.float64)
        self.observation_space = (
            spaces.Dict(dict.fromkeys(("observation", "achieved_goal", "desired_goal"), box)) if as_dict else box
        )
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32) if continuous else spaces.Discrete(2)

    def compute_reward(self, achieved_goal, desired_goal, info):
        return -(np.abs(achieved_goal - desired_goal).max(axis=-1) > 0.09).astype(np.float64)

    def _observe(self):
        point = np.array([self.offset + self.position])
        if not self.as_dict:
            return point
        return {"observation": point, "achieved_goal": point.copy(), "desired_goal": self.goal.copy()}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position, self.steps = float(self.np_random.integers(5)) * 0.2, 0
        self.goal = np.array([self.offset + 0.2 * self.np_random.integers(5)])
        return self._observe(), {}

    def step(self, action):
        change = 0.2 * (float(action[0]) if self.continuous else 2 * int(action) - 1)
        self.position = float(np.clip(self.position + change, 0.0, 0.8))
        self.steps += 1
        observation = self._observe()
        reward = (
            float(self.compute_reward(observation["achieved_goal"], observation["desired_goal"], {})) if self.as_dict else 0.0
        )
        return observation, reward, False, self.steps >= self.horizon, {}


def make_far(**kwargs):
    env = FarEnv(**kwargs)
    return MultiGoalWrapper(env, PointGoals(env.offset + 0.2 * np.arange(5)[:, None], tolerance=0.09))


def make_model(kind, **kwargs):
    kwargs = {"seed": 0, "device": "cpu", **kwargs}
    off_policy = {"buffer_size": 500, "learning_starts": 20, "batch_size": 16, **kwargs}
    if kind == "dqn":
        return goal_conditioned_dqn(make_far(), buffer="her", **off_policy)
    if kind == "td3":
        return goal_conditioned_actor_critic(TD3, make_far(continuous=True), buffer="her", clip_targets=True, **off_policy)
    if kind == "goal_env_sac":
        return goal_env_actor_critic(SAC, FarEnv(continuous=True, as_dict=True), clip_targets=True, **off_policy)
    if kind in OFF_POLICY:
        return kind("MultiGoalPolicy", make_far(continuous=kind is not LEODQN), **off_policy)
    envs = DummyVecEnv([make_far] * 4)
    on_policy = {"n_steps": 8, "batch_size": 16, **kwargs}
    return goal_conditioned_ppo(envs, **on_policy) if kind == "ppo" else kind("MultiGoalPolicy", envs, **on_policy)


def statistics(model):
    policies = [model.policy, *([model.teacher.policy] if isinstance(model, DualLEOPPO) else [])]
    return [
        buffer.clone()
        for policy in policies
        for module in policy.modules()
        if isinstance(module, ObservationNormalizer)
        for buffer in module.buffers()
    ]


def everything(model):
    return [*statistics(model), *(parameter.detach().clone() for parameter in model.policy.parameters())]


def assert_equal(first, second):
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert th.equal(one, other)


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    seed=st.integers(0, 99),
    offset=st.sampled_from([0.0, 1.3, -1e4]),
)
def test_statistics_equal_those_of_all_observations(sizes, seed, offset):
    rng = np.random.default_rng(seed)
    batches = [offset + rng.normal(size=(size, 3)) * [1e-6, 0.15, 20.0] for size in sizes]
    normalizer = ObservationNormalizer(spaces.Box(-INF, INF, (3,)))
    for batch in batches:
        normalizer.update(batch)
    normalizer.refresh()
    rows = np.concatenate(batches)
    assert normalizer.count.tolist() == [len(rows)] * 3
    np.testing.assert_allclose(normalizer.mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(normalizer.squared_deviations / len(rows), rows.var(axis=0), rtol=1e-6, atol=1e-12)
    expected = (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), MIN_STD)
    # Float32 inputs near 10,000 have a resolution of 0.001, which the smallest standard deviation of 0.01 amplifies.
    tolerance = 1e-4 if abs(offset) < 10 else 0.2
    np.testing.assert_allclose(normalizer(th.as_tensor(rows).float()), expected, atol=tolerance)


def test_clipping():
    normalizer = ObservationNormalizer(spaces.Box(-INF, INF, (1,)))
    normalizer.update(np.array([[-1.0], [1.0]]))
    inputs = th.tensor([[-500.0], [0.5], [500.0]])
    assert th.equal(normalizer(inputs), inputs)  # not refreshed yet
    normalizer.refresh()
    assert normalizer(inputs).flatten().tolist() == [-CLIP, 0.5, CLIP]


UNCHANGED = {
    "unit interval": spaces.Box(0.0, 1.0, (4,)),
    "symmetric": spaces.Box(-1.0, 1.0, (4,)),
    "image": spaces.Box(0, 255, (3, 8, 8), np.uint8),
    "float image": spaces.Box(0.0, 255.0, (3, 8, 8), np.float32),
    "counts": spaces.Box(0, 99, (4,), np.uint8),
    "integers": spaces.Box(-99, 99, (4,), np.int64),
    "discrete": spaces.Discrete(5),
    "bits": spaces.MultiBinary(4),
    "digits": spaces.MultiDiscrete([3, 4]),
}


@pytest.mark.parametrize("kind", UNCHANGED)
def test_inputs_that_need_no_normalization_are_unchanged(kind):
    space = spaces.Dict({"observation": UNCHANGED[kind], "far": spaces.Box(900.0, 1_100.0, (2,))})
    normalizer = ObservationNormalizer(space)
    space.seed(0)
    samples = [space.sample() for _ in range(8)]
    batch = {key: np.stack([sample[key] for sample in samples]) for key in space}
    normalizer.update(batch)
    normalizer.refresh()
    inputs = {key: th.as_tensor(values).float() for key, values in batch.items()}
    outputs = normalizer(inputs)
    assert outputs["observation"] is inputs["observation"]
    np.testing.assert_allclose(outputs["far"].mean(dim=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(outputs["far"].std(dim=0, correction=0), 1.0, rtol=1e-5)


def test_components_of_one_vector_are_told_apart():
    space = spaces.Box(np.array([0.0, -INF, -0.05]), np.array([1.0, INF, 0.05]), dtype=np.float64)
    normalizer = ObservationNormalizer(space)
    rows = np.random.default_rng(0).uniform([0.0, 1.2, -0.05], [1.0, 1.4, 0.05], size=(50, 3))
    normalizer.update(rows)
    normalizer.refresh()
    inputs = th.as_tensor(rows).float()
    outputs = normalizer(inputs)
    assert th.equal(outputs[:, 0], inputs[:, 0])
    np.testing.assert_allclose(outputs[:, 1:].std(dim=0, correction=0), 1.0, rtol=1e-5)


def test_achieved_and_desired_goals_share_their_statistics():
    box = spaces.Box(-INF, INF, (2,))
    normalizer = ObservationNormalizer(spaces.Dict({"observation": box, "achieved_goal": box, "desired_goal": box}))
    rng = np.random.default_rng(0)
    batch = {
        key: rng.normal(offset, 1.0, (20, 2))
        for key, offset in (("observation", 9), ("achieved_goal", 1), ("desired_goal", 2))
    }
    normalizer.update(batch)
    normalizer.refresh()
    both = np.concatenate([batch["achieved_goal"], batch["desired_goal"]])
    for key in ("achieved_goal", "desired_goal"):
        expected = (batch[key] - both.mean(axis=0)) / both.std(axis=0)
        np.testing.assert_allclose(normalizer({key: th.as_tensor(batch[key]).float()})[key], expected, atol=1e-5)


def test_invalid_observations_leave_the_statistics_as_they_are():
    normalizer = ObservationNormalizer(spaces.Box(-INF, INF, (1,)))
    normalizer.update(np.ones((2, 1)))
    before = [buffer.clone() for buffer in normalizer.buffers()]
    for invalid in (np.nan, INF):
        with pytest.raises(ValueError, match="expected finite observations, got NaN or infinity"):
            normalizer.update(np.array([[1.0], [invalid]]))
    assert_equal(before, list(normalizer.buffers()))


@pytest.mark.parametrize("kind", [*OFF_POLICY, *ON_POLICY, *BASELINES])
def test_all_networks_share_the_statistics_of_training(kind):
    model = make_model(kind).learn(64)
    normalizer = model.policy.normalizer
    extractors = [module for module in model.policy.modules() if isinstance(module, NormalizedExtractor)]
    own = [extractor for extractor in extractors if extractor.normalizer is normalizer]
    # The teacher of DualLEOPQN has its own.
    assert own and len(own) == len(extractors) - (kind is DualLEOPQN)
    num_rows = 64 + model.n_envs if kind in (*ON_POLICY, "ppo") else 64
    # Goals count twice, as achieved and as desired.
    assert set((normalizer.count / num_rows).tolist()) <= {1.0, 2.0}
    assert 1_000.0 < normalizer.mean.min() and normalizer.mean.max() < 1_000.8
    assert not any(parameter is buffer for parameter in model.policy.parameters() for buffer in normalizer.buffers())
    copied = copy.deepcopy(make_model(kind).policy)
    shared = {id(module) for module in copied.modules() if isinstance(module, ObservationNormalizer)}
    assert len(shared) == 1 + (kind is DualLEOPQN) and id(copied.normalizer) in shared


@pytest.mark.parametrize("kind", [LEODQN, LEOTD3])
def test_statistics_are_those_of_the_stored_observations(kind):
    model = make_model(kind).learn(50)
    size = model.replay_buffer.size()
    stored = model.replay_buffer.observations["observation"][:size, 0]
    np.testing.assert_allclose(model.policy.normalizer.mean, stored.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(model.policy.normalizer.squared_deviations / size, stored.var(axis=0), rtol=1e-9)


@pytest.mark.parametrize("kind", [*OFF_POLICY, *ON_POLICY, *BASELINES])
def test_prediction_and_evaluation_change_no_statistics(kind):
    model = make_model(kind).learn(32)
    before = statistics(model)
    obs = model.get_env().reset()
    model.predict(obs)
    if kind != "goal_env_sac":
        evaluate_goals(model, make_far(continuous=isinstance(model.action_space, spaces.Box)), episodes_per_goal=1)
        model.policy.values(obs)
    assert_equal(before, statistics(model))


@pytest.mark.parametrize("kind", [*OFF_POLICY, *ON_POLICY, *BASELINES])
def test_saved_models_have_the_statistics(kind, tmp_path):
    model = make_model(kind).learn(64)
    path = tmp_path / "model.zip"
    model.save(path)
    # HerReplayBuffer needs the environment.
    loaded = type(model).load(path, env=model.get_env() if kind == "goal_env_sac" else None, device="cpu")
    assert_equal(statistics(model), statistics(loaded))
    if kind == "goal_env_sac":
        return
    states = np.array([[1_000.0], [1_000.3]])
    observation = {key: states for key in loaded.observation_space.spaces if key != "goal_id"}
    np.testing.assert_array_equal(loaded.policy.values(observation), model.policy.values(observation))
    if kind not in BASELINES:
        np.testing.assert_array_equal(load_policy(path, device="cpu").values(observation), model.policy.values(observation))


@pytest.mark.parametrize("kind", [*OFF_POLICY, *ON_POLICY, "td3", "ppo"])
def test_resumed_training_equals_uninterrupted_training(kind, tmp_path):
    model = make_model(kind).learn(64)
    save_checkpoint(model, tmp_path)
    # One after the other, because both use the global random number generators.
    final = everything(model.learn(64, reset_num_timesteps=False))
    resumed = resume(type(model), tmp_path, device="cpu")
    assert_equal(final, everything(resumed.learn(64, reset_num_timesteps=False)))


@pytest.mark.parametrize("kind", OFF_POLICY)
def test_torchscript_equals_the_policy(kind):
    model = make_model(kind).learn(64)
    states = th.tensor([[1_000.0], [1_000.3], [1_000.8]], dtype=th.float64)
    goal_ids = th.tensor([0, 2, 4])
    outputs = model.policy.to_torchscript()(states, goal_ids).detach()
    if kind is LEODQN:
        q_values = model.q_values(states.numpy())[np.arange(3), goal_ids.numpy()]
        np.testing.assert_allclose(outputs, q_values, rtol=1e-5)
    else:
        np.testing.assert_allclose(
            outputs, [model.act(state, int(goal)) for state, goal in zip(states.numpy(), goal_ids, strict=True)], rtol=1e-5
        )


def test_a_frozen_teacher_keeps_its_statistics():
    teacher = make_model(LEOPQN).learn(64)
    before = statistics(teacher)
    for kind in (DualLEOPQN, DualLEOPPO):
        frozen = make_model(kind, teacher=teacher, teacher_update_fraction=0.0).learn(64)
        assert_equal(before, list(frozen.teacher.policy.normalizer.buffers()))
        assert frozen.policy.normalizer.count.tolist() == [68.0]
        trained = make_model(kind, teacher=teacher).learn(64)
        assert trained.teacher.policy.normalizer.count.tolist() == [68.0 + 64.0]
    assert_equal(before, statistics(teacher))


@pytest.mark.parametrize("student_kind", ["pqn", "ppo"])
def test_distilled_students_have_statistics(student_kind):
    student = distill(make_model(LEOPQN).learn(32), student_kind, steps=10, seed=0)
    assert student.policy.normalizer.count.tolist() == [40.0]


@pytest.mark.parametrize("kind", [LEODQN, LEOTD3, LEOPQN, PQN])
def test_without_normalization_there_is_no_normalizer(kind):
    model = make_model(kind, policy_kwargs={"normalize_observations": False}).learn(64)
    assert model.policy.normalizer is None
    assert not any(isinstance(module, NormalizedExtractor) for module in model.policy.modules())


def test_clipped_targets():
    model = make_model("td3")
    target, critic = model.critic_target, model.critic
    with th.no_grad():
        for network in (target, critic):
            for head in network.q_networks:
                head[4].weight.zero_()
                head[4].bias.fill_(3.0)
    tensors, _ = model.policy.obs_to_tensor(model.policy.with_goal(np.array([1_000.0]), 0))
    actions = th.zeros(1, 1)
    assert [float(values.detach()) for values in target(tensors, actions)] == [1.0, 1.0]
    assert [float(values.detach()) for values in critic(tensors, actions)] == [3.0, 3.0]
    assert make_model("goal_env_sac", gamma=0.9).policy.value_range == (pytest.approx(-10.0), 0.0)
    with pytest.raises(ValueError, match="expected value_range to be two increasing numbers"):
        goal_conditioned_actor_critic(TD3, make_far(continuous=True), policy_kwargs={"value_range": (1.0, 0.0)})


@pytest.mark.parametrize("normalize", [True, False])
def test_far_goals_are_only_learned_from_normalized_observations(normalize):
    """Positions 0.2 apart near 1,000 differ by 2e-4 of their size."""
    options = {"normalize_observations": normalize, "net_arch": [32, 32]}
    model = LEODQN(
        "MultiGoalPolicy", make_far(), seed=0, device="cpu", learning_starts=200, buffer_size=2_000, policy_kwargs=options
    )
    success = evaluate_goals(model.learn(2_000), make_far(), seed=0).mean_success
    assert success == 1.0 if normalize else success < 0.8
