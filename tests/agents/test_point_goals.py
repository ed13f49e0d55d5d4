"""LEOTD3 and LEOSAC in goal environments without a finite goal set: any point is a goal."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from leo_agents import LEODQN, LEOSAC, LEOTD3
from leo_agents.learning.losses import all_goals_targets, goals_loss
from leo_agents.learning.policy_data import load_policy
from leo_agents.networks.candidate_goals import CandidateGoals
from leo_agents.replay.point_goal_buffer import PointGoalReplayBuffer
from leo_wrappers import AnyGoalWrapper, GridGoals, MultiGoalWrapper
from tests.agents.plane_point import TOLERANCE, PlanePoint

ALGORITHMS = [LEOTD3, LEOSAC]
SMALL = {"net_arch": [32, 32]}


def line_with_goals():
    return MultiGoalWrapper(gym.make("MountainCarContinuous-v0"), GridGoals([-1.2, -0.07], [0.6, 0.07], [3, 2]))


def make_model(algorithm=LEOSAC, env=None, **kwargs):
    options = {"learning_starts": 40, "batch_size": 32, "policy_kwargs": SMALL, "seed": 0, "device": "cpu", **kwargs}
    return algorithm("MultiGoalPolicy", env or PlanePoint(), **options)


def parameters(model):
    return [value.clone() for value in model.policy.state_dict().values()]


def observations(model, count=5):
    return {key: np.stack([space.sample() for _ in range(count)]) for key, space in model.observation_space.spaces.items()}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_loss_of_own_goals_is_that_of_relabeled_transitions(algorithm):
    """With own goals only, every transition is trained as if it had been relabeled with them, one by one."""
    model = make_model(algorithm, goals_per_update=0, replay_buffer_kwargs={"own_goals": 2}, gamma=0.9, loss="squared").learn(
        60
    )
    batch = model._sample_batch(16)
    th.manual_seed(1)
    loss = model.critic_loss(batch, model.targets(batch, batch.goals), batch.goals)
    expected = []
    for column in range(2):
        goals = CandidateGoals.one_per_row(batch.goals.own[:, column])
        relabeled = {**batch.next_observations, "desired_goal": batch.goals.own[:, column]}
        th.manual_seed(1)
        with th.no_grad():
            next_actions = _next_actions(model, relabeled, batch.goals, column)
            next_values = model.critic_target.values(
                model.critic_target.lowest_diagonal(relabeled, next_actions.unsqueeze(1), goals)
            )
        reward = (
            1.0
            + model.get_env().env_method(
                "compute_reward",
                batch.next_observations["achieved_goal"].numpy(),
                batch.goals.own[:, column].numpy(),
                None,
                indices=[0],
            )[0]
        )
        reward = th.as_tensor(reward, dtype=th.float32).unsqueeze(1)
        target = reward + 0.9 * (1.0 - reward) * (1.0 - batch.dones) * next_values
        values = [th.sigmoid(one) for one in model.critic.taken({**batch.observations}, batch.actions, goals)]
        expected.append(sum((0.5 * (one - target) ** 2).mean() for one in values))
    assert loss.item() == pytest.approx(np.mean([float(one) for one in expected]), rel=1e-5)


def _next_actions(model, relabeled, goals, column):
    """The actor's actions for one column, with the noise that it had for all of them."""
    if isinstance(model, LEOSAC):
        actions, _ = model.actor(relabeled, goals)
        return actions[:, column]
    actions = model.actor_target(relabeled, goals)
    noise = (th.randn_like(actions) * model.target_policy_noise).clamp(-model.target_noise_clip, model.target_noise_clip)
    return (actions + noise).clamp(-1.0, 1.0)[:, column]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_pairs_with_shared_and_own_goals_have_the_same_outputs(algorithm):
    model = make_model(algorithm).learn(60)
    batch = model._sample_batch(8)
    points = batch.goals.shared
    shared, own = CandidateGoals.common(points, 8), CandidateGoals(points[:0], points.expand(8, -1, -1))
    actions = th.rand(8, len(points), 2) * 2 - 1
    for outputs in (
        lambda goals: model.actor.best(batch.observations, goals),
        lambda goals: th.stack(model.critic.taken(batch.observations, batch.actions, goals)),
        lambda goals: th.stack(model.critic.diagonal(batch.observations, actions, goals)),
    ):
        assert th.allclose(outputs(shared), outputs(own), atol=1e-5)
    row = model.actor.for_goals(batch.observations, points[:1].expand(8, -1))
    assert th.allclose(row, model.actor.best(batch.observations, shared)[:, 0], atol=1e-5)


def test_gradients_of_the_diagonal_flow_into_the_actions_only():
    model = make_model().learn(60)
    batch = model._sample_batch(8)
    actions = (th.rand(8, 17, 2) * 2 - 1).requires_grad_(True)
    model.critic.zero_grad()
    with th.no_grad():
        for one in model.critic.parameters():
            one.add_(0.05 * th.randn_like(one))
    outputs = model.critic.diagonal(batch.observations, actions, batch.goals)
    sum(output.sum() for output in outputs).backward()
    assert all(parameter.grad is None for parameter in model.critic.parameters())
    # The derivatives of the taken actions' values, one goal at a time.
    points = th.cat([batch.goals.shared.expand(8, -1, -1), batch.goals.own], dim=1)
    for column in range(17):
        action = actions[:, column].detach().requires_grad_(True)
        taken = model.critic.taken(batch.observations, action, CandidateGoals.one_per_row(points[:, column]))
        assert all(th.allclose(one[:, 0], output[:, column], atol=1e-5) for one, output in zip(taken, outputs, strict=True))
        sum(one.sum() for one in taken).backward()
        assert th.allclose(actions.grad[:, column], action.grad, atol=1e-5)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("vec_env", [DummyVecEnv, SubprocVecEnv])
def test_learning_with_several_environments(algorithm, vec_env):
    model = make_model(algorithm, make_vec_env(PlanePoint, n_envs=2, vec_env_cls=vec_env), n_steps=3).learn(100)
    assert model._n_updates > 0
    model.get_env().close()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_point_is_learned(algorithm):
    env = PlanePoint(offset=5.0)  # a scale that needs normalized inputs
    model = make_model(algorithm, env, learning_starts=200, batch_size=128, gamma=0.95, train_freq=2, policy_kwargs=None)
    model.learn(1600)
    reached = []
    for episode in range(40):
        obs, _ = env.reset(seed=episode)
        reward, done = -1.0, False
        while reward < 0.0 and not done:
            obs, reward, _, done, _ = env.step(model.act(obs, obs["desired_goal"]))
        reached.append(reward == 0.0)
    assert np.mean(reached) >= 0.9


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_saved_models_and_policies_have_the_same_values_and_actions(algorithm, tmp_path):
    model = make_model(algorithm).learn(80)
    model.save(tmp_path / "model")
    obs, goals = observations(model), [[0.5, 0.5], [-0.5, 0.1]]
    for other in (algorithm.load(tmp_path / "model"), load_policy(tmp_path / "model.zip")):
        assert np.array_equal(other.predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0])
    other = algorithm.load(tmp_path / "model", env=PlanePoint())
    assert np.array_equal(other.values(obs, goals), model.values(obs, goals))
    other.learn(60)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_resumed_run_equals_an_uninterrupted_one(algorithm, tmp_path):
    uninterrupted = make_model(algorithm, n_steps=2).learn(120)
    halfway = make_model(algorithm, n_steps=2).learn(60)
    halfway.save_checkpoint(tmp_path)
    resumed = algorithm.resume(tmp_path).learn(60, reset_num_timesteps=False)
    again = make_model(algorithm, n_steps=2).learn(60).learn(60, reset_num_timesteps=False)
    assert all(th.equal(a, b) for a, b in zip(parameters(resumed), parameters(again), strict=True))
    assert resumed.num_timesteps == uninterrupted.num_timesteps


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_exported_actors_have_the_same_actions(algorithm):
    model = make_model(algorithm).learn(60)
    obs = observations(model, 7)
    states = {key: th.as_tensor(value) for key, value in obs.items() if key != "desired_goal"}
    exported = model.policy.to_torchscript()(states, th.as_tensor(obs["desired_goal"]))
    assert np.allclose(exported.detach().numpy(), model.predict(obs, deterministic=True)[0], atol=1e-5)


def test_values_of_points_and_of_the_commanded_goals():
    model = make_model(n_steps=3).learn(100)
    obs = observations(model)
    values = model.values(obs, goals=obs["desired_goal"])
    assert values.shape == (5, 5) and ((values > 0) & (values < 1)).all()
    assert np.allclose(np.diagonal(values), model.values(obs)[:, 0], atol=1e-6)
    single = {key: value[0] for key, value in obs.items()}
    assert model.values(single, [[0.0, 0.0]]).shape == (1, 1)
    assert np.allclose(
        model.expected_steps(obs, [[0.0, 0.0]]), 1 + np.log(model.values(obs, [[0.0, 0.0]])) / np.log(model.gamma)
    )


def test_act_ignores_the_commanded_goal():
    model = make_model().learn(60)
    obs = {key: value[0] for key, value in observations(model).items()}
    expected, _ = model.predict({**obs, "desired_goal": np.array([0.3, -0.3], dtype=np.float32)}, deterministic=True)
    assert np.array_equal(model.act(obs, [0.3, -0.3]), expected)


def test_evaluation_does_not_change_the_statistics():
    model = make_model().learn(60)
    before = parameters(model)
    model.predict(observations(model))
    model.values(observations(model), [[9.0, 9.0]])
    assert all(th.equal(a, b) for a, b in zip(parameters(model), before, strict=True))


def test_finite_goal_sets_are_used_where_there_is_one():
    env = line_with_goals()
    model = make_model(env=env)
    assert len(model.goal_names) == 6 and not model.has_point_goals
    with pytest.raises(ValueError, match=r"expected names or indices of the 6 goals of the model, got .*; the nearest"):
        model.values(env.reset()[0], goals=[[0.0, 0.0]])
    with pytest.raises(ValueError, match="expected an environment with goal_names"):
        model.set_env(PlanePoint())


@pytest.mark.parametrize(
    "goal, message",
    [
        (3, "expected a goal of 2 coordinates, got 3; this model has no finite goal set"),
        ("cell/0,0", "expected a goal of 2 coordinates, got 'cell/0,0'"),
        ([0.1], r"expected a goal of 2 coordinates, got an array of shape \(1,\)"),
        ([[0.1, 0.2]], r"got an array of shape \(1, 2\)"),
        ([np.nan, 0.0], "expected finite goals"),
        ([np.inf, 0.0], "expected finite goals"),
    ],
)
def test_bad_goals_are_rejected(goal, message):
    model = make_model()
    obs = {key: value[0] for key, value in observations(model).items()}
    with pytest.raises(ValueError, match=message):
        model.act(obs, goal)


def test_points_outside_a_bounded_goal_space_are_rejected():
    env = PlanePoint()
    env.observation_space["desired_goal"] = spaces.Box(-1.0, 1.0, (2,), np.float32)
    model = make_model(env=env)
    obs, _ = env.reset(seed=0)
    with pytest.raises(ValueError, match=r"expected finite goals between .*-1.* and .*1.*, got .*1.5"):
        model.act(obs, [1.5, 0.0])


class Unvectorized(PlanePoint):
    def compute_reward(self, achieved_goal, desired_goal, info):
        return float(np.linalg.norm(np.subtract(achieved_goal, desired_goal)) <= TOLERANCE) - 1.0


class Dense(PlanePoint):
    def compute_reward(self, achieved_goal, desired_goal, info):
        return -np.linalg.norm(np.subtract(achieved_goal, desired_goal), axis=-1)


@pytest.mark.parametrize("env_class, message", [(Unvectorized, "vectorize it"), (Dense, "use a sparse reward")])
def test_rewards_that_do_not_tell_success_are_rejected(env_class, message):
    with pytest.raises(ValueError, match=message):
        make_model(env=env_class()).learn(60)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"goal_selector": "uniform"}, "expected no goal_selector in an environment without a finite goal set"),
        ({"log_goals": True}, "expected no log_goals"),
        ({"goals_per_update": 0, "replay_buffer_kwargs": {"own_goals": 0}}, "own_goals"),
        ({"goals_per_update": -1}, "goals_per_update"),
        ({"replay_buffer_class": PointGoalReplayBuffer, "env": line_with_goals()}, "expected a GoalReplayBuffer for a finite"),
    ],
)
def test_arguments_of_finite_goal_sets_are_rejected(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make_model(**kwargs)


def test_a_finite_goal_set_can_be_hidden():
    with pytest.raises(
        ValueError, match=r"expected a goal environment, got observations without \['achieved_goal', 'desired_goal'\]"
    ):
        AnyGoalWrapper(gym.make("MountainCarContinuous-v0"))
    env = PlanePoint()
    env.goal_names = ("here",)
    assert DummyVecEnv([lambda: env]).has_attr("goal_names")
    model = make_model(env=DummyVecEnv([lambda: AnyGoalWrapper(env)])).learn(60)
    assert model.has_point_goals and model.get_env().get_attr("compute_reward")
    with pytest.raises(AttributeError, match="leave out AnyGoalWrapper"):
        AnyGoalWrapper(env).get_wrapper_attr("goal_names")


def test_discrete_actions_need_a_finite_goal_set():
    class Discrete(PlanePoint):
        action_space = spaces.Discrete(2)

    for algorithm in (LEODQN, LEOSAC):
        with pytest.raises(ValueError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            algorithm("MultiGoalPolicy", Discrete())


def test_the_grid_as_shared_goals_gives_the_loss_of_a_finite_goal_set():
    """With the whole grid as candidates, targets and loss are those of all goals for the same values."""
    model = make_model(gamma=0.9, goals_per_update=4, replay_buffer_kwargs={"own_goals": 0}).learn(80)
    grid = GridGoals([-1, -1], [1, 1], [4, 4])
    points = th.as_tensor(grid.descriptors, dtype=th.float32)
    batch = model._sample_batch(16)
    goals = CandidateGoals.common(points, 16)
    achieved = batch.next_observations["achieved_goal"]
    mask = (th.cdist(achieved, points) <= TOLERANCE).float()
    buffer = model.replay_buffer
    pairs = buffer._achieves(achieved.numpy()[:, None], np.broadcast_to(points.numpy(), (16, *points.shape)))
    assert np.array_equal(pairs, mask.numpy().astype(bool))
    batch = batch._replace(goals=goals, goal_returns=th.as_tensor(pairs, dtype=th.float32))
    th.manual_seed(0)
    targets = model.targets(batch, goals)
    th.manual_seed(0)
    with th.no_grad():
        actions, _ = model.actor(batch.next_observations, goals)
        values = model.critic_target.values(model.critic_target.lowest_diagonal(batch.next_observations, actions, goals))
    assert th.equal(targets, all_goals_targets(mask, values, batch.dones, batch.discounts))
    outputs = model.critic.taken(batch.observations, batch.actions, goals)
    expected = sum(goals_loss(one, targets, "bce", squash=True) for one in outputs)
    assert model.critic_loss(batch, targets, goals).item() == pytest.approx(expected.item())
