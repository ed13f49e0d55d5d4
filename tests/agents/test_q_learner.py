"""Targets, loss and update of AllGoalsQLearner against hand-written ones."""

from typing import Any

import numpy as np
import pytest
import torch as th

from leo_agents import LEODQN
from leo_agents.replay.goal_replay_buffer import GoalReplayBufferSamples
from tests.line_env import make_line

GAMMA = 0.9


def make_model(**kwargs: Any) -> LEODQN:
    """Create a model with transitions in its replay buffer and random weights, different ones in the target network."""
    options = {"learning_starts": 1_000, "policy_kwargs": {"net_arch": [32]}, "gamma": GAMMA, "device": "cpu", "seed": 0}
    model = LEODQN("MultiGoalPolicy", make_line(start=None, trap=4), **{**options, **kwargs}).learn(100)
    with th.no_grad():
        for parameter in model.policy.parameters():
            parameter += 0.2 * th.randn_like(parameter)
    return model


def sample_batch(model: LEODQN, batch_size: int = 40) -> GoalReplayBufferSamples:
    np.random.seed(0)
    assert model.replay_buffer is not None
    batch = model.replay_buffer.sample(batch_size)
    assert batch.goals_achieved.any() and batch.dones.any()
    return batch


@pytest.mark.parametrize("head", ["dense", "factored"])
@pytest.mark.parametrize("double_q", [False, True])
@pytest.mark.parametrize("n_steps", [1, 3])
@pytest.mark.parametrize("goals", [None, [3, 1]])
def test_targets(head: str, double_q: bool, n_steps: int, goals: list[int] | None) -> None:
    model = make_model(head=head, double_q=double_q, n_steps=n_steps)
    batch = sample_batch(model)
    with th.no_grad():
        online, target = model.q_net(batch.next_observations), model.q_net_target(batch.next_observations)
    assert (online.argmax(dim=2) != target.argmax(dim=2)).any()
    expected = th.zeros(40, 5)
    for row, goal in np.ndindex(40, 5):
        discount = GAMMA if batch.discounts is None else batch.discounts[row, 0]
        if batch.goal_returns[row, goal] > 0:
            expected[row, goal] = batch.goal_returns[row, goal]
        elif not batch.dones[row]:
            next_action = (online if double_q else target)[row, goal].argmax()
            expected[row, goal] = discount * target[row, goal, next_action]
    ids = None if goals is None else th.tensor(goals)
    targets = model.learner.targets(batch, ids)
    assert not targets.requires_grad
    th.testing.assert_close(targets, expected if goals is None else expected[:, goals])


@pytest.mark.parametrize("head", ["dense", "factored"])
@pytest.mark.parametrize("double_q", [False, True])
@pytest.mark.parametrize("cut_tolerance", [0.0, 0.05, 1.0])
def test_targets_with_cuts(head: str, double_q: bool, cut_tolerance: float) -> None:
    model = make_model(head=head, double_q=double_q, n_steps=3, cut_tolerance=cut_tolerance)
    batch = sample_batch(model)
    window = batch.window
    assert window is not None and window.ends[-1].all() and window.ends[0].any() and not window.ends[1].all()
    with th.no_grad():
        # [steps, rows, goals, actions], of the states after each step
        later, last = model.q_net_target(window.observations).view(2, 40, 5, 2), model.q_net_target(batch.next_observations)
        online = model.q_net(window.observations).view(2, 40, 5, 2), model.q_net(batch.next_observations)
    num_cuts = 0

    def target_of(step: int, row: int, goal: int) -> th.Tensor:
        nonlocal num_cuts
        if window.goals_achieved[step, row, goal]:
            return th.tensor(1.0)
        ends = bool(window.ends[step, row])
        if ends and batch.dones[row]:
            return th.tensor(0.0)
        q_values = (last if ends else later[step])[row, goal]
        chosen = ((online[1] if ends else online[0][step])[row, goal] if double_q else q_values).argmax()
        if ends:
            return GAMMA * q_values[chosen]
        if q_values[window.actions.view(2, 40)[step, row].long()] < (1 - cut_tolerance) * q_values[chosen] - 1e-6:
            num_cuts += 1
            return GAMMA * q_values[chosen]
        return GAMMA * target_of(step + 1, row, goal)

    expected = th.stack([target_of(0, row, goal) for row, goal in np.ndindex(40, 5)]).view(40, 5)
    assert (num_cuts > 0) == (cut_tolerance < 1.0)
    th.testing.assert_close(model.learner.targets(batch), expected)
    th.testing.assert_close(model.learner.targets(batch, th.tensor([3, 1])), expected[:, [3, 1]])
    if cut_tolerance == 1.0:
        model.learner.cut_tolerance = None
        th.testing.assert_close(model.learner.targets(batch), expected)


def test_cuts_need_windows() -> None:
    with pytest.raises(ValueError, match=r"expected n_steps above 1 for cut_tolerance=0\.1, got 1"):
        make_model(cut_tolerance=0.1)
    model = make_model(n_steps=3, cut_tolerance=0.1)
    with pytest.raises(ValueError, match="expected a replay buffer with_windows=True"):
        model.learner.targets(sample_batch(make_model(n_steps=3)))


@pytest.mark.parametrize("head", ["dense", "factored"])
@pytest.mark.parametrize("loss", ["bce", "squared"])
@pytest.mark.parametrize("goal_reduction", ["mean", "sum"])
@pytest.mark.parametrize("goals", [None, [3, 1]])
def test_loss(head: str, loss: str, goal_reduction: str, goals: list[int] | None) -> None:
    model = make_model(head=head, loss=loss, goal_reduction=goal_reduction)
    batch = sample_batch(model)
    ids = None if goals is None else th.tensor(goals)
    y = model.learner.targets(batch, ids)
    q = model.q_net(batch.observations)[th.arange(40), :, batch.actions.flatten()]
    q = q if goals is None else q[:, goals]
    losses = 0.5 * (q - y) ** 2 if loss == "squared" else -(y * q.log() + (1 - y) * (1 - q).log())
    expected = losses.mean() if goal_reduction == "mean" else losses.sum(dim=1).mean()
    th.testing.assert_close(model.learner.loss(batch.observations, batch.actions, y, ids), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("max_grad_norm", [1e-3, 10.0])
def test_update_is_one_optimizer_step_on_the_loss(max_grad_norm: float) -> None:
    model, other = make_model(max_grad_norm=max_grad_norm), make_model()
    batch = sample_batch(model)
    targets = model.learner.targets(batch)
    target_weights = [parameter.clone() for parameter in model.q_net_target.parameters()]
    loss = model.learner.update(batch.observations, batch.actions, targets)
    expected_loss = other.learner.loss(batch.observations, batch.actions, targets)
    expected_loss.backward()
    norm = th.nn.utils.clip_grad_norm_(other.q_net.parameters(), max_grad_norm)
    assert (norm > max_grad_norm) == (max_grad_norm == 1e-3)
    other.policy.optimizer.step()
    assert not loss.requires_grad
    th.testing.assert_close(loss, expected_loss.detach())
    th.testing.assert_close(list(model.q_net.parameters()), list(other.q_net.parameters()))
    assert all(map(th.equal, model.q_net_target.parameters(), target_weights))


def test_update_of_some_goals_leaves_the_other_heads_unchanged() -> None:
    model = make_model()
    batch, goals = sample_batch(model), th.tensor([3, 1])
    head = model.q_net.head
    before = {name: parameter.clone() for name, parameter in head.named_parameters()}
    model.learner.update(batch.observations, batch.actions, model.learner.targets(batch, goals), goals)
    for name, parameter in head.named_parameters():
        changed = (parameter != before[name]).transpose(0, 1).flatten(start_dim=1).any(dim=1)  # [actions, goals, ...]
        assert changed.tolist() == [False, True, False, True, False], name
