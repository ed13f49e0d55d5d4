"""Expectile values: the expectile loss, its fixed point on a small MDP against dynamic programming, and the algorithms."""

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from leo_agents import LEODQN, LEOSAC, GoalDataset, collect_dataset
from leo_agents.baselines import goal_conditioned_bc, goal_conditioned_iql
from leo_agents.evaluation import evaluate_goals
from leo_agents.learning.losses import expectile_weights, goals_loss
from leo_wrappers import MultiGoalWrapper, PointGoals
from tests.line_env import make_line

NUM_STATES, GAMMA = 5, 0.9
# Probability of moving to the right in each state, so that values of both actions matter and differ.
RIGHT = np.array([0.5, 0.8, 0.6, 0.3, 0.9])


def expectile_of(values, probabilities, tau):
    """Return the root of E[|tau - 1(x < v)| (x - v)] by bisection."""
    low, high = min(values), max(values)
    for _ in range(60):
        middle = (low + high) / 2
        slope = sum(p * (tau if x > middle else 1 - tau) * (x - middle) for x, p in zip(values, probabilities, strict=True))
        low, high = (middle, high) if slope > 0 else (low, middle)
    return (low + high) / 2


def successors():
    states = np.arange(NUM_STATES)
    return np.stack([np.maximum(states - 1, 0), np.minimum(states + 1, NUM_STATES - 1)], axis=1)


def fixed_point(tau):
    """Return V_g(s) ``[S, G]`` and Q_g(s, a) ``[S, G, 2]`` of in-sample expectiles on the line, by iteration."""
    after, goals = successors(), np.arange(NUM_STATES)
    values, p_right = np.zeros((NUM_STATES, NUM_STATES)), RIGHT[:, None]
    for _ in range(300):
        left, right = (np.where(goals == after[:, [a]], 1.0, GAMMA * values[after[:, a]]) for a in range(2))
        weights = np.where(right > left, tau, 1 - tau) * p_right, np.where(left > right, tau, 1 - tau) * (1 - p_right)
        values = (weights[0] * right + weights[1] * left) / (weights[0] + weights[1])
    assert abs(values[1, 3] - expectile_of([left[1, 3], right[1, 3]], [1 - RIGHT[1], RIGHT[1]], tau)) < 1e-9
    return values, np.stack([left, right], axis=2)


class OneHotLine(gym.Env):
    """The line with one-hot observations, on which a linear network is a table."""

    observation_space = spaces.Box(0.0, 1.0, (NUM_STATES,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = 0
        return np.eye(NUM_STATES, dtype=np.float32)[self.position], {}

    def step(self, action):
        self.position = int(successors()[self.position, action])
        return np.eye(NUM_STATES, dtype=np.float32)[self.position], 0.0, False, False, {}


def one_hot_line():
    goals = PointGoals(np.eye(NUM_STATES), tolerance=0.5, names=[f"at/{x}" for x in range(NUM_STATES)])
    return MultiGoalWrapper(OneHotLine(), goals)


def line_data(tries=10):
    """Return each transition of the line as often as the behavior takes it."""
    counts = np.rint(tries * np.stack([1 - RIGHT, RIGHT], axis=1)).astype(int)
    states, actions = np.nonzero(counts)
    rows = np.repeat(np.arange(len(states)), counts[states, actions])
    states, actions = states[rows], actions[rows]
    eye, ends = np.eye(NUM_STATES, dtype=np.float32), np.ones(len(rows), dtype=bool)
    goals = one_hot_line().get_wrapper_attr("goal_set")
    after = successors()[states, actions]
    return GoalDataset.from_arrays(eye[states], actions, eye[after], ~ends, ends, goals=goals)


@pytest.mark.parametrize("loss", ["bce", "squared"])
@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_the_minimum_of_the_loss_is_the_expectile(loss, tau):
    targets = th.tensor([0.05, 0.2, 0.3, 0.9], dtype=th.float64).unsqueeze(1)
    expected = expectile_of(targets.flatten().tolist(), [0.25] * 4, tau)
    logit = th.logit(th.tensor(expected, dtype=th.float64)).requires_grad_(True)
    outputs = logit.expand(4, 1)
    weights = expectile_weights(th.sigmoid(outputs), targets, tau)
    np.testing.assert_array_equal(weights, np.where(targets > expected, tau, 1 - tau))
    goals_loss(outputs, targets, loss, squash=True, goal_weights=weights).backward()
    assert abs(logit.grad) < 1e-9
    if tau == 0.5:
        assert abs(expected - float(targets.mean())) < 1e-9
        plain = goals_loss(outputs, targets, loss, squash=True)
        th.testing.assert_close(goals_loss(outputs, targets, loss, squash=True, goal_weights=weights), 0.5 * plain)


@pytest.mark.parametrize("tau", [0.5, 0.9])
def test_updates_stay_at_the_fixed_point_of_dynamic_programming(tau):
    """With tables at the exact values, gradients of V and Q over all the data vanish; elsewhere they do not."""
    values, q = (th.as_tensor(array).clamp(max=1 - 1e-6).float() for array in fixed_point(tau))
    options = {"net_arch": [], "normalize_observations": False}
    model = LEODQN("MultiGoalPolicy", one_hot_line(), gamma=GAMMA, expectile=tau, seed=0, policy_kwargs=options)
    data = line_data()
    batch = model._dataset_buffer(data)._get_samples(np.arange(len(data)))
    learner = model.learner

    def gradients():
        learner.q_net.zero_grad()
        model.policy.value_net.zero_grad()
        loss = learner.loss(batch.observations, batch.actions, learner.in_sample_targets(batch))
        (loss + learner.value_loss(batch)).backward()
        return [max(float(one.grad.abs().max()) for one in net.head.parameters()) for net in nets]

    nets = [learner.q_net, model.policy.value_net]
    tables = [th.logit(q), th.logit(values).unsqueeze(2)]
    for net, table in zip([*nets, learner.q_net_target], [*tables, tables[0]], strict=True):
        set_table(net.head, table)
    np.testing.assert_array_less(gradients(), 2e-5)
    set_table(nets[1].head, th.logit(values * 0.8).unsqueeze(2))
    assert min(gradients()) > 1e-3


def set_table(head, table):
    """Set a dense head on one-hot features to the logits ``[S, G, A]``."""
    with th.no_grad():
        head.bias.zero_()
        head.weight.copy_(table.permute(2, 1, 0).reshape(head.weight.shape))


def test_iql_learns_the_values_of_dynamic_programming():
    model = goal_conditioned_iql(
        one_hot_line(),
        expectile=0.8,
        gamma=GAMMA,
        learning_rate=lambda rest: 5e-3 * rest,
        batch_size=64,
        tau=0.1,
        goal_input="one_hot",
        # Rows that are relabeled with goals which their action achieved are no sample of the behavior.
        replay_buffer_kwargs={"n_sampled_goal": 0},
        policy_kwargs={"net_arch": [32]},
        seed=0,
    ).learn_offline(line_data(500), 1_500)
    expected, q = fixed_point(0.8)
    eye = np.eye(NUM_STATES, dtype=np.float32)
    np.testing.assert_allclose(model.policy.values(eye), expected, atol=0.06)
    assert evaluate_goals(model, one_hot_line(), max_steps=6).mean_success == 1.0
    actions = np.stack(
        [model.predict({"observation": eye, "goal_id": np.full(5, g)}, deterministic=True)[0] for g in range(5)]
    )
    clear = np.abs(q[..., 0] - q[..., 1]) > 0.02
    np.testing.assert_array_equal(actions.T[clear], q.argmax(axis=2)[clear])


def test_without_advantages_the_actor_is_behavior_cloning():
    data = collect_dataset(make_line(start=None), 200)
    iql = goal_conditioned_iql(make_line(), inverse_temperature=0.0, seed=0, policy_kwargs={"net_arch": [16]})
    batch = iql._dataset_buffer(data).sample(64)
    iql.loss(batch).backward()
    ours = [one.grad.clone() for one in iql.policy.action_net.parameters()]
    iql.policy.zero_grad()
    (-iql.policy.log_prob(batch.observations, batch.actions).mean()).backward()
    for first, second in zip(ours, iql.policy.action_net.parameters(), strict=True):
        th.testing.assert_close(first, second.grad)
    assert all(one.grad is None for one in iql.policy.critics_target.parameters())


@pytest.mark.parametrize("make", [goal_conditioned_bc, goal_conditioned_iql])
def test_continuous_actions(make, tmp_path):
    """The action of the data, 0.5 in bounds of [-2, 2], is learned, saved and loaded."""
    env = gym.make("leo/MountainCarContinuous-v0")
    bounded = gym.wrappers.RescaleAction(env, -2.0, 2.0)
    data = collect_dataset(bounded, 200)
    constant = GoalDataset(
        data.observations,
        np.full_like(data.actions, 0.5),
        data.next_observations,
        data.terminated,
        data.truncated,
        data.packed_masks,
        data.goal_names,
    )
    model = make(bounded, seed=0, batch_size=64, learning_rate=3e-3, policy_kwargs={"net_arch": [16]})
    model.learn_offline(constant, 300)
    obs = {"observation": data.observations["observation"], "goal_id": np.zeros(200, dtype=int)}
    actions, _ = model.predict(obs, deterministic=True)
    assert np.abs(actions - 0.5).mean() < 0.05
    assert np.abs(model.predict(obs)[0]).max() <= 2.0
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(type(model).load(tmp_path / "model").predict(obs, deterministic=True)[0], actions)
    model.learn(120)
    assert model.num_timesteps == 120 and model._n_updates > 0


def test_in_sample_values_with_continuous_actions():
    """From data of one action, expectile values learn that action's distances."""
    env = gym.make("leo/MountainCarContinuous-v0")
    data = collect_dataset(env, 200)
    for options in ({}, {"goals_per_update": 3}, {"n_steps": 2}):
        model = LEOSAC("MultiGoalPolicy", env, seed=0, expectile=0.9, policy_kwargs={"net_arch": [16]}, **options)
        before = [one.clone() for one in model.policy.value_net.parameters()]
        model.learn_offline(data, 3)
        assert any((one != other).any() for one, other in zip(before, model.policy.value_net.parameters(), strict=True))
        after = [one.clone() for one in model.policy.value_net.parameters()]
        model.learning_starts = 10
        model.learn(20)
        for one, other in zip(after, model.policy.value_net.parameters(), strict=True):
            th.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("expectile", [0, 1, -0.5, 2, float("nan"), "high"])
def test_bad_expectiles(expectile):
    for make in (
        lambda: goal_conditioned_iql(make_line(), expectile=expectile),
        lambda: LEODQN("MultiGoalPolicy", make_line(), expectile=expectile),
        lambda: LEOSAC("MultiGoalPolicy", gym.make("leo/MountainCarContinuous-v0"), expectile=expectile),
    ):
        with pytest.raises((ValueError, TypeError), match="expected expectile"):
            make()
    with pytest.raises(ValueError, match="inverse_temperature"):
        goal_conditioned_iql(make_line(), inverse_temperature=-1.0)
