import pytest
import torch as th

from leo_agents.networks import action_critic_head
from leo_agents.networks.action_critic_head import ActionCriticHead


def make_head(bilinear=True, num_goals=5, action_dim=3):
    th.manual_seed(0)
    head = ActionCriticHead(16, num_goals, action_dim, width=12, bilinear=bilinear)
    for parameter in head.parameters():  # they start at zero, which would hide mistakes
        th.nn.init.normal_(parameter)
    return head


def one_by_one(head, features, actions, goals):
    """The formula, a goal at a time, left to autograd."""
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
def test_the_diagonal_is_the_loop_over_goals(bilinear, goals, block, monkeypatch):
    monkeypatch.setattr(action_critic_head, "BLOCK_ELEMENTS", block)
    head, features = make_head(bilinear), th.randn(9, 16)
    ids = list(range(5)) if goals is None else goals
    actions = th.randn(9, len(ids), 3, requires_grad=True)
    expected = one_by_one(head, features, actions, ids)
    found = head.diagonal(features, actions, None if goals is None else th.tensor(goals))
    th.testing.assert_close(found, expected)
    weights = th.randn_like(found)
    (expected_slope,) = th.autograd.grad((expected * weights).sum(), actions)
    (slope,) = th.autograd.grad((found * weights).sum(), actions)
    th.testing.assert_close(slope, expected_slope)


@pytest.mark.parametrize("bilinear", [True, False])
@pytest.mark.parametrize("goals", [None, [3, 0]])
def test_the_taken_action_is_the_diagonal_with_one_action_for_all_goals(bilinear, goals):
    head, features, actions = make_head(bilinear), th.randn(9, 16), th.randn(9, 3)
    ids = None if goals is None else th.tensor(goals)
    taken = head.taken(features, actions, ids)
    same = actions[:, None].expand(-1, taken.shape[1], -1)
    th.testing.assert_close(taken, head.diagonal(features, same, ids))


def test_the_taken_pass_has_the_gradients_of_the_loop_over_goals():
    head, features, actions = make_head(), th.randn(9, 16, requires_grad=True), th.randn(9, 3)
    head.taken(features, actions).square().sum().backward()
    found = [features.grad.clone(), *(parameter.grad.clone() for parameter in head.parameters())]
    head.zero_grad()
    features.grad = None
    one_by_one(head, features, actions[:, None].expand(-1, 5, -1), range(5)).square().sum().backward()
    expected = [features.grad, *(parameter.grad for parameter in head.parameters())]
    th.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_the_diagonal_leaves_the_critic_alone():
    head, actions = make_head(), th.randn(9, 5, 3, requires_grad=True)
    features = th.randn(9, 16, requires_grad=True)
    head.diagonal(features, actions).sum().backward()
    assert actions.grad.abs().sum() > 0
    assert features.grad is None and all(parameter.grad is None for parameter in head.parameters())


def test_no_goal_looks_at_another_goals_action():
    head, features, actions = make_head(), th.randn(1, 16), th.randn(1, 5, 3)
    jacobian = th.autograd.functional.jacobian(lambda a: head.diagonal(features, a)[0], actions)[:, 0]
    size = jacobian.abs().sum(dim=2)
    assert (size.diagonal() > 0).all() and (size - size.diagonal().diag() == 0).all()


def test_every_goal_starts_at_the_initial_value():
    head = ActionCriticHead(16, 5, 3, width=12, initial_value=0.2)
    th.testing.assert_close(th.sigmoid(head.taken(th.randn(2, 16), th.randn(2, 3))), th.full((2, 5), 0.2))


def test_bad_input():
    with pytest.raises(ValueError, match="num_goals of at least 1, got 0"):
        ActionCriticHead(16, 0, 3, width=12)
    with pytest.raises(ValueError, match=r"actions of shape \[9, 5, action_dim\].*got \(9, 3\)"):
        make_head().diagonal(th.randn(9, 16), th.randn(9, 3))
    with pytest.raises(ValueError, match="between 0 and 1"):
        ActionCriticHead(16, 5, 3, width=12, initial_value=1.0)
