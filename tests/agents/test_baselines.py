"""Goal-conditioned baselines of SB3: relabeled rows, goal inputs, values, learning, saving, and naive relabeling as LEODQN."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from sb3_contrib import TQC
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv

from leo_agents import LEODQN
from leo_agents.baselines import (
    AllGoalsReplayBuffer,
    GoalDescriptorExtractor,
    MaskHerReplayBuffer,
    goal_conditioned_actor_critic,
    goal_conditioned_dqn,
    goal_conditioned_ppo,
    goal_conditioned_venv,
    naive_all_goals_loss,
    naive_goal_losses,
)
from leo_wrappers import GoalConditionedWrapper, MultiGoalWrapper
from leo_wrappers.sb3 import VecGoalSampler
from tests.line_env import LineGoalEnv, line_goals, make_line
from tests.stamped_line import NUM_GOALS, TABLE, add_step, line_space, stamped_line
from tests.walled_box_env import WalledBoxEnv


def test_all_goals_rows() -> None:
    """Every transition appears once per goal, with reward and done from its mask."""
    model = goal_conditioned_dqn(DummyVecEnv([stamped_line] * 2), buffer="all_goals", goal_input="one_hot", seed=0)
    rows = model.learn(60).replay_buffer.sample(32)
    goals = rows.observations["goal_id"].view(32, NUM_GOALS)
    assert th.equal(goals, th.arange(NUM_GOALS).expand(32, -1))
    stamps = rows.observations["observation"][:, 1].view(32, NUM_GOALS)
    assert (stamps == stamps[:, :1]).all() and len(stamps.unique()) > 10
    after = rows.next_observations["observation"][:, 0].view(32, NUM_GOALS).int()
    masks = th.as_tensor(TABLE)[after[:, 0].long()].float()
    assert th.equal(rows.rewards.view(32, NUM_GOALS), masks)
    assert th.equal(rows.dones.view(32, NUM_GOALS), th.maximum(masks, (after == 4).float()))
    assert len(rows.actions) == 32 * NUM_GOALS and masks.any()


def test_goals_per_transition_draws_distinct_goals_uniformly() -> None:
    buffer = AllGoalsReplayBuffer(10, line_space(), spaces.Discrete(2), goals_per_transition=3)
    add_step(buffer, 1, 2)
    goals = buffer.sample(6_000).observations["goal_id"].view(6_000, 3).sort(dim=1).values
    assert (goals[:, 1:] > goals[:, :-1]).all()
    frequencies = th.bincount(goals.flatten(), minlength=9) / 6_000
    th.testing.assert_close(frequencies, th.full((9,), 1 / 3), atol=0.03, rtol=0)


def test_desired_goal_follows_the_relabeled_goal() -> None:
    env = MultiGoalWrapper(LineGoalEnv(), line_goals())
    model = goal_conditioned_dqn(env, buffer="all_goals", seed=0).learn(20)
    rows = model.replay_buffer.sample(8)
    for observations in (rows.observations, rows.next_observations):
        assert th.equal(observations["desired_goal"], observations["goal_id"].to(observations["desired_goal"]))
    assert th.equal(rows.rewards, (rows.next_observations["achieved_goal"] == rows.observations["desired_goal"]).float())


@pytest.mark.parametrize("loss", ["bce", "squared"])
@pytest.mark.parametrize("head", ["dense", "factored"])
def test_naive_relabeling_has_the_loss_and_gradients_of_leodqn(loss: str, head: str) -> None:
    env = make_line(start=None, trap=4)
    model = LEODQN("MultiGoalPolicy", env, head=head, loss=loss, learning_starts=50, seed=0).learn(200)
    batch = model.replay_buffer.sample(64)
    parameters = list(model.q_net.parameters())
    leo_loss = model.learner.loss(batch.observations, batch.actions, model.learner.targets(batch))
    leo_grads = th.autograd.grad(leo_loss, parameters)
    naive_loss = naive_all_goals_loss(model.q_net, model.q_net_target, batch, model.gamma, loss)
    naive_grads = th.autograd.grad(naive_loss, parameters)
    th.testing.assert_close(naive_loss, leo_loss)
    th.testing.assert_close(naive_grads, leo_grads)
    assert all(grad.norm() > 1e-5 for grad in leo_grads)
    model.q_net.zero_grad()
    for goal_loss in naive_goal_losses(model.q_net, model.q_net_target, batch, model.gamma, loss):
        (goal_loss / 5).backward()
    th.testing.assert_close([parameter.grad for parameter in parameters], list(leo_grads))


CONTINUOUS = {"goal_input": "one_hot", "learning_starts": 30, "batch_size": 16, "policy_kwargs": {"net_arch": [16]}, "seed": 0}
MODELS: dict[str, Callable[[], Any]] = {
    "dqn": lambda: goal_conditioned_dqn(make_line(start=None), seed=0),
    "ppo": lambda: goal_conditioned_ppo(make_line(start=None), n_steps=32, batch_size=16, seed=0),
    "td3": lambda: goal_conditioned_actor_critic(TD3, WalledBoxEnv(horizon=20), **CONTINUOUS),
    "sac": lambda: goal_conditioned_actor_critic(SAC, WalledBoxEnv(horizon=20), **CONTINUOUS),
    "tqc": lambda: goal_conditioned_actor_critic(TQC, WalledBoxEnv(horizon=20), **CONTINUOUS),
}


@pytest.mark.parametrize("name", MODELS)
def test_values_and_act_of_policies(name: str, tmp_path: Path) -> None:
    model = MODELS[name]().learn(60)
    policy, num_goals = model.policy, len(model.policy.goal_names)
    states = np.concatenate([model.env.reset()["observation"] for _ in range(3)])
    values = policy.values(states)
    assert values.shape == (3, num_goals) and values.dtype == np.float32 and (values.std(axis=1) > 0).all()
    assert policy.values(states[0]).shape == (1, num_goals)
    for goal in (0, num_goals - 1):
        obs = {"observation": states, "goal_id": np.full(3, goal)}
        expected, _ = model.predict(obs, deterministic=True)
        for row, state in enumerate(states):
            np.testing.assert_allclose(policy.act(state, policy.goal_names[goal]), expected[row], rtol=1e-5)
        tensors, _ = policy.obs_to_tensor(obs)
        np.testing.assert_allclose(values[:, goal], policy.commanded_values(tensors).detach().numpy()[:, 0], rtol=1e-5)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(type(model).load(tmp_path / "model").policy.values(states), values)


@pytest.mark.parametrize(("name", "estimate"), [("dqn", "max"), ("ppo", "value"), ("td3", "min"), ("tqc", "mean")])
def test_values_by_definition(name: str, estimate: str) -> None:
    """The maximum over actions, the value function, the lower critic, or the mean of all critics' quantiles."""
    model = MODELS[name]()
    policy = model.policy
    obs, _ = policy.obs_to_tensor({"observation": model.env.reset()["observation"], "goal_id": np.array([3])})
    with th.no_grad():
        actions = None if estimate in ("max", "value") else policy.actor(obs)
        if name == "tqc":
            actions = policy.actor(obs, deterministic=True)
        expected = {
            "max": lambda: policy.q_net(obs).max(),
            "value": lambda: policy.predict_values(obs)[0, 0],
            "min": lambda: th.minimum(*policy.critic(obs, actions))[0, 0],
            "mean": lambda: policy.critic(obs, actions).mean(),
        }[estimate]()
    assert policy.values(obs["observation"].numpy())[0, 3] == pytest.approx(expected.item(), rel=1e-5)


def test_values_and_act_replace_the_desired_goal() -> None:
    model = goal_conditioned_dqn(MultiGoalWrapper(LineGoalEnv(), line_goals()), seed=0)
    state = {key: value[0] for key, value in model.env.reset().items()}
    for goal in range(5):
        obs = {**state, "goal_id": np.int64(goal), "desired_goal": np.array([float(goal)])}
        assert model.policy.act(state, goal) == model.predict(obs, deterministic=True)[0]
        tensors, _ = model.policy.obs_to_tensor(obs)
        assert model.policy.values(state)[0, goal] == pytest.approx(model.q_net(tensors).max().item(), rel=1e-5)


def test_extractor_returns_descriptor_or_one_hot() -> None:
    space = spaces.Dict({"observation": spaces.Box(0, 1, (2,)), "goal_id": spaces.Discrete(3)})
    descriptors = np.array([[5.0, 6.0], [7.0, 8.0], [9.0, 10.0]])
    observations = {"observation": th.rand(4, 2), "goal_id": th.eye(3)[[2, 0, 1, 1]]}
    described, one_hot = GoalDescriptorExtractor(space, descriptors), GoalDescriptorExtractor(space)
    assert (described.features_dim, one_hot.features_dim) == (4, 5)
    expected = th.as_tensor(descriptors[[2, 0, 1, 1]], dtype=th.float32)
    th.testing.assert_close(described(observations), th.cat([observations["observation"], expected], dim=1))
    th.testing.assert_close(one_hot(observations), th.cat([observations["observation"], observations["goal_id"]], dim=1))
    # Samples of a replay buffer have another dimension.
    batch = {**observations, "goal_id": observations["goal_id"][:, None]}
    th.testing.assert_close(described(batch), described(observations))


def test_extractor_reads_images() -> None:
    space = spaces.Dict({"image": spaces.Box(0, 255, (3, 36, 36), np.uint8), "goal_id": spaces.Discrete(2)})
    extractor = GoalDescriptorExtractor(space, [[1.0], [2.0]], cnn_output_dim=7)
    assert extractor({"image": th.rand(5, 3, 36, 36), "goal_id": th.eye(2)[[0, 1, 0, 1, 0]]}).shape == (5, 8)


LEARN = {"learning_rate": 5e-3, "learning_starts": 100, "batch_size": 64, "train_freq": 2, "target_update_interval": 100}
LEARN |= {"exploration_fraction": 0.5, "policy_kwargs": {"net_arch": [64, 64]}, "gamma": 0.9, "seed": 0}


def success(model: DQN, num_episodes: int = 20) -> float:
    env = GoalConditionedWrapper(make_line(start=None), goal_selector="round_robin")
    env.reset(seed=7)
    return float(evaluate_policy(model, env, n_eval_episodes=num_episodes, warn=False)[0])


@pytest.mark.parametrize(
    ("buffer", "goal_input"), [("plain", "one_hot"), ("her", "one_hot"), ("her", "descriptor"), ("all_goals", "descriptor")]
)
def test_every_baseline_learns_every_goal(buffer: str, goal_input: str) -> None:
    steps = 4000 if buffer == "plain" else 3000
    model = goal_conditioned_dqn(
        DummyVecEnv([lambda: make_line(start=None)] * 2),
        buffer=buffer,
        goal_input=goal_input,
        goal_selector="uniform",
        **LEARN,
    )
    assert success(model) < 0.9
    assert success(model.learn(steps)) == 1.0


@pytest.mark.parametrize("buffer", ["plain", "her", "all_goals"])
def test_a_loaded_model_predicts_the_same_and_continues_training(buffer: str, tmp_path: Path) -> None:
    model = goal_conditioned_dqn(make_line(), buffer=buffer, **LEARN).learn(200)
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "buffer")
    obs = {"observation": np.arange(5, dtype=np.float32)[:, None], "goal_id": np.array([4, 3, 2, 1, 0])}
    expected = model.predict(obs, deterministic=True)[0]
    loaded = DQN.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], expected)
    resumed = DQN.load(tmp_path / "model", env=goal_conditioned_venv(make_line(), seed=1))
    np.testing.assert_array_equal(resumed.predict(obs, deterministic=True)[0], expected)
    resumed.load_replay_buffer(tmp_path / "buffer")
    assert resumed.replay_buffer.size() == 200
    resumed.learn(50, reset_num_timesteps=False)
    assert resumed.replay_buffer.size() == 250


@pytest.mark.parametrize("squash", [True, False])
def test_squash_bounds_the_values(squash: bool) -> None:
    model = goal_conditioned_dqn(make_line(), squash=squash, seed=0)
    for network in (model.q_net, model.q_net_target):
        values = network({"observation": th.linspace(-1e4, 1e4, 200)[:, None], "goal_id": th.arange(200)[:, None] % 5})
        assert ((values >= 0) & (values <= 1)).all() == squash
    optimized = {id(parameter) for group in model.policy.optimizer.param_groups for parameter in group["params"]}
    assert optimized >= {id(parameter) for parameter in model.q_net.parameters()}


def test_descriptors_come_from_the_environment() -> None:
    extractor = goal_conditioned_dqn(make_line(), normalize=False).q_net.features_extractor
    th.testing.assert_close(extractor.descriptors, th.arange(5.0)[:, None])
    extractor = goal_conditioned_dqn(make_line(), descriptors=np.eye(5, 2), normalize=False).q_net.features_extractor
    th.testing.assert_close(extractor.descriptors, th.eye(5, 2))
    assert (
        goal_conditioned_dqn(make_line(), goal_input="one_hot", normalize=False).q_net.features_extractor.descriptors is None
    )
    predicates = goal_conditioned_dqn(stamped_line(), normalize=False).q_net.features_extractor
    th.testing.assert_close(predicates.descriptors, th.eye(NUM_GOALS))


def test_goal_conditioned_environments_are_not_wrapped_again() -> None:
    assert isinstance(goal_conditioned_dqn(make_line()).env, VecGoalSampler)
    venv = VecGoalSampler(DummyVecEnv([make_line]), on_success="terminate")
    assert goal_conditioned_dqn(venv).env is venv
    assert not isinstance(goal_conditioned_dqn(GoalConditionedWrapper(make_line())).env, VecGoalSampler)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: goal_conditioned_dqn("CartPole-v1"), "goal_names"),
        (lambda: goal_conditioned_actor_critic(PPO, make_line()), "expected TD3, SAC, TQC or a subclass, got .*PPO"),
        (lambda: goal_conditioned_dqn(make_line(), buffer="hers"), "buffer to be one of"),
        (lambda: goal_conditioned_dqn(make_line(), goal_input="name"), "goal_input to be one of"),
        (lambda: goal_conditioned_dqn(make_line(), goal_input="one_hot", descriptors=np.eye(5)), "no descriptors"),
        (lambda: goal_conditioned_dqn(make_line(), descriptors=np.eye(4)), r"descriptors of shape \[5, d\]"),
        (lambda: goal_conditioned_dqn(make_line(), replay_buffer_class=MaskHerReplayBuffer), "replay_buffer_class"),
        (lambda: goal_conditioned_dqn(VecGoalSampler(DummyVecEnv([make_line]))), "on_success=\"terminate\", got 'switch'"),
        (lambda: goal_conditioned_dqn(GoalConditionedWrapper(make_line(), on_success="continue")), "got 'continue'"),
        (lambda: goal_conditioned_dqn(GoalConditionedWrapper(make_line()), goal_selector="seen"), "not goal-conditioned"),
        (lambda: MaskHerReplayBuffer(9, line_space(), spaces.Discrete(2), n_sampled_goal=-1), "n_sampled_goal of at least 0"),
        (
            lambda: MaskHerReplayBuffer(9, line_space(), spaces.Discrete(2), goal_selection_strategy="past"),
            "goal_selection_strategy to be one of",
        ),
        (lambda: AllGoalsReplayBuffer(9, line_space(), spaces.Discrete(2), goals_per_transition=10), "from 1 to 9, got 10"),
        (lambda: AllGoalsReplayBuffer(9, line_space()["observation"], spaces.Discrete(2)), "Discrete 'goal_id'"),
        (lambda: AllGoalsReplayBuffer(9, line_space(), spaces.Discrete(2), goal_points=np.eye(9)), "desired_goal"),
        (lambda: GoalDescriptorExtractor(line_space()["observation"]), "Discrete 'goal_id'"),
    ],
)
def test_invalid_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("buffer", ["her", "all_goals", "plain"])
def test_unknown_arguments_of_the_replay_buffer(buffer: str) -> None:
    with pytest.raises(TypeError, match=r"expected replay_buffer_kwargs of \w+, got 'n_sampled_gaol'; "):
        goal_conditioned_dqn(make_line(), buffer=buffer, replay_buffer_kwargs={"n_sampled_gaol": 4})
    with pytest.raises(TypeError, match="did you mean 'n_sampled_goal'"):
        goal_conditioned_dqn(make_line(), buffer="her", replay_buffer_kwargs={"n_sampled_gaol": 4})
