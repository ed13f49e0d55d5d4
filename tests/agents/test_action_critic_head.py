"""The continuous critic's head against its formula, evaluated goal by goal with autograd."""

import pytest
import torch as th

from leo_agents.networks import action_critic_head
from leo_agents.networks.action_critic_head import ActionCriticHead

BATCH, FEATURES, GOALS, ACTION_DIM = 9, 16, 5, 3


def make_head(bilinear=True):
    th.manual_seed(0)
    head = ActionCriticHead(FEATURES, GOALS, ACTION_DIM, width=12, bilinear=bilinear)
    for parameter in head.parameters():  # the zero initialization would hide errors
        th.nn.init.normal_(parameter)
    return head


def loop_over_goals(head, features, actions, goals):
    """The formula in the module's docstring, one goal at a time."""
    columns = []
    for column, goal in enumerate(goals):
        action = actions[:, column]
        hidden = th.relu(head.state(features) + head.action(action))
        logit = hidden @ head.weight[goal] + head.bias[goal]
        if head.direct is not None:
            state, direction = head.direct[goal, 0], head.direct[goal, 1:]
            logit = logit + features @ state + ((features @ direction.t()) * action).sum(dim=1)
        columns.append(logit)
    return th.stack(columns, dim=1)


@pytest.mark.parametrize("bilinear", [True, False])
@pytest.mark.parametrize("goals", [None, [3, 0], [2]])
@pytest.mark.parametrize("block", [1, 300, 2**18])
def test_diagonal_equals_the_loop_over_goals(bilinear, goals, block, monkeypatch):
    monkeypatch.setattr(action_critic_head, "BLOCK_ELEMENTS", block)
    head, features = make_head(bilinear), th.randn(BATCH, FEATURES)
    ids = list(range(GOALS)) if goals is None else goals
    actions = th.randn(BATCH, len(ids), ACTION_DIM, requires_grad=True)
    expected = loop_over_goals(head, features, actions, ids)
    logits = head.diagonal(features, actions, None if goals is None else th.tensor(goals))
    th.testing.assert_close(logits, expected)
    weights = th.randn_like(logits)
    (expected_grad,) = th.autograd.grad((expected * weights).sum(), actions)
    (grad,) = th.autograd.grad((logits * weights).sum(), actions)
    th.testing.assert_close(grad, expected_grad)


@pytest.mark.parametrize("bilinear", [True, False])
@pytest.mark.parametrize("goals", [None, [3, 0]])
def test_taken_equals_diagonal_with_one_action_for_all_goals(bilinear, goals):
    head, features, actions = make_head(bilinear), th.randn(BATCH, FEATURES), th.randn(BATCH, ACTION_DIM)
    ids = None if goals is None else th.tensor(goals)
    taken = head.taken(features, actions, ids)
    repeated = actions[:, None].expand(-1, taken.shape[1], -1)
    th.testing.assert_close(taken, head.diagonal(features, repeated, ids))


def test_taken_has_the_gradients_of_the_loop_over_goals():
    head, actions = make_head().double(), th.randn(BATCH, ACTION_DIM).double()
    features = th.randn(BATCH, FEATURES).double().requires_grad_()
    inputs = [features, *head.parameters()]
    expected = loop_over_goals(head, features, actions[:, None].expand(-1, GOALS, -1), range(GOALS))
    expected_grads = th.autograd.grad(expected.square().sum(), inputs)
    grads = th.autograd.grad(head.taken(features, actions).square().sum(), inputs)
    th.testing.assert_close(grads, expected_grads)


def test_diagonal_gives_the_critic_no_gradients():
    head, actions = make_head(), th.randn(BATCH, GOALS, ACTION_DIM, requires_grad=True)
    features = th.randn(BATCH, FEATURES, requires_grad=True)
    head.diagonal(features, actions).sum().backward()
    assert actions.grad.abs().sum() > 0
    assert features.grad is None and all(parameter.grad is None for parameter in head.parameters())


def test_diagonal_depends_on_the_goals_own_action_only():
    head, features, actions = make_head(), th.randn(1, FEATURES), th.randn(1, GOALS, ACTION_DIM)
    jacobian = th.autograd.functional.jacobian(lambda a: head.diagonal(features, a)[0], actions)[:, 0]
    size = jacobian.abs().sum(dim=2)
    assert (size.diagonal() > 0).all() and (size - size.diagonal().diag() == 0).all()


@pytest.mark.parametrize("bilinear", [True, False])
def test_autocast_agrees_with_float32(bilinear):
    head, features = make_head(bilinear), th.randn(BATCH, FEATURES)
    taken_actions = th.randn(BATCH, ACTION_DIM)
    goal_actions = th.randn(BATCH, GOALS, ACTION_DIM)
    expected = head.taken(features, taken_actions), head.diagonal(features, goal_actions)
    # Features and actions arrive in bfloat16, as from a trunk and an actor under autocast.
    low_precision = goal_actions.bfloat16().requires_grad_()
    with th.autocast("cpu", th.bfloat16):
        taken = head.taken(features.bfloat16(), taken_actions)
        diagonal = head.diagonal(features.bfloat16(), low_precision)
    for logits, reference in zip((taken, diagonal), expected, strict=True):
        assert logits.dtype == th.float32
        assert (logits - reference).norm() < 0.02 * reference.norm()
    taken.sum().backward()
    diagonal.sum().backward()
    assert low_precision.grad.any()
    for name, parameter in head.named_parameters():
        assert parameter.grad.dtype == th.float32 and parameter.grad.any(), name


def test_every_goal_starts_at_the_initial_value():
    head = ActionCriticHead(FEATURES, GOALS, ACTION_DIM, width=12, initial_value=0.2)
    logits = head.taken(th.randn(2, FEATURES), th.randn(2, ACTION_DIM))
    th.testing.assert_close(th.sigmoid(logits), th.full((2, GOALS), 0.2))


def test_bad_input():
    with pytest.raises(ValueError, match="num_goals of at least 1, got 0"):
        ActionCriticHead(FEATURES, 0, ACTION_DIM, width=12)
    with pytest.raises(ValueError, match=r"actions of shape \[9, 5, action_dim\].*got \(9, 3\)"):
        make_head().diagonal(th.randn(BATCH, FEATURES), th.randn(BATCH, ACTION_DIM))
    with pytest.raises(ValueError, match="between 0 and 1"):
        ActionCriticHead(FEATURES, GOALS, ACTION_DIM, width=12, initial_value=1.0)
