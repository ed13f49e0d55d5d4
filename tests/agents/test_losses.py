"""All-goals targets and losses: hand-computed values, and equality with relabeling the batch goal by goal."""

import numpy as np
import pytest
import torch as th
from torch import nn

from leo_agents.learning.finite_checks import FiniteChecks
from leo_agents.learning.losses import (
    all_goals_lambda_targets,
    all_goals_targets,
    bce_goals_loss,
    check_loss_options,
    goals_loss,
    squared_goals_loss,
)
from leo_agents.networks.heads import DenseHead, FactoredHead

HEADS = {
    "dense": lambda: DenseHead(6, 5, 3),
    "narrow": lambda: DenseHead(6, 5, 3, width=4),
    "factored": lambda: FactoredHead(6, 5, 3, rank=4),
    "described": lambda: FactoredHead(6, 5, 3, rank=4, descriptors=th.randn(5, 2)),
}


def test_hand_computed_targets() -> None:
    """Goal 0 is achieved, goal 1 is not; the second transition is terminated."""
    achieved = th.tensor([[1.0, 0.0], [1.0, 0.0]])
    next_values = th.tensor([[0.8, 0.5], [0.8, 0.5]])
    terminated = th.tensor([0.0, 1.0])
    expected = th.tensor([[1.0, 0.45], [1.0, 0.0]])
    th.testing.assert_close(all_goals_targets(achieved, next_values, terminated, 0.9), expected)
    th.testing.assert_close(all_goals_targets(achieved, next_values, terminated[:, None].bool(), 0.9), expected)


def test_targets_with_a_discount_per_row() -> None:
    """Windows of one and two steps; in the second, goal 1 is achieved by the second step."""
    goal_returns = th.tensor([[0.0, 1.0], [0.0, 0.9]])
    next_values = th.tensor([[0.5, 0.7], [0.5, 0.7]])
    targets = all_goals_targets(goal_returns, next_values, th.zeros(2, 1), th.tensor([[0.9], [0.81]]))
    th.testing.assert_close(targets, th.tensor([[0.45, 1.0], [0.405, 0.9]]))


def test_targets_of_tasks_with_discounts_and_terminations() -> None:
    """Task 0 ends with a reward of 0, task 1 does not end with a reward of 2; the second transition is terminated."""
    rewards, next_values = th.tensor([[0.0, 2.0], [0.0, 2.0]]), th.tensor([[8.0, -5.0], [8.0, -5.0]])
    ended, discounts = th.tensor([[True, False], [False, False]]), th.tensor([[0.9, 0.5], [0.9, 0.5]])
    targets = all_goals_targets(rewards, next_values, th.tensor([0.0, 1.0]), discounts, ended)
    th.testing.assert_close(targets, th.tensor([[0.0, -0.5], [0.0, 2.0]]))


@pytest.mark.parametrize("loss_fn", [bce_goals_loss, squared_goals_loss])
def test_goal_weights_and_reduction(loss_fn) -> None:
    outputs, targets = th.rand(4, 3), th.rand(4, 3)
    weights = th.tensor([1.0, 0.0, 2.0])
    per_goal = th.stack([loss_fn(outputs[:, [g]], targets[:, [g]]) for g in range(3)])
    th.testing.assert_close(loss_fn(outputs, targets), per_goal.mean())
    th.testing.assert_close(loss_fn(outputs, targets, goal_reduction="sum"), per_goal.sum())
    th.testing.assert_close(loss_fn(outputs, targets, weights), (per_goal * weights).mean())
    th.testing.assert_close(loss_fn(outputs, targets, weights.expand(4, 3), "sum"), (per_goal * weights).sum())


def test_loss_values() -> None:
    values, targets = th.tensor([[0.25, 0.5]]), th.tensor([[0.5, 1.0]])
    assert squared_goals_loss(values, targets).item() == pytest.approx((0.03125 + 0.125) / 2)
    expected = -(0.5 * th.log(values[0, 0]) + 0.5 * th.log(1 - values[0, 0]) + th.log(values[0, 1])) / 2
    assert bce_goals_loss(th.logit(values), targets).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("squash", [True, False])
def test_goals_loss_by_name(squash: bool) -> None:
    outputs, targets = th.randn(4, 3), th.rand(4, 3)
    values = outputs.sigmoid() if squash else outputs
    th.testing.assert_close(goals_loss(outputs, targets, "squared", squash, "sum"), (values - targets).square().sum() / 8)
    th.testing.assert_close(goals_loss(outputs, targets, "bce", True), bce_goals_loss(outputs, targets))


@pytest.mark.parametrize("names", [None, ["a", "b", "c", "d", "e", "f", "g"]])
def test_a_loss_that_is_not_finite_names_the_goals(names: list[str] | None) -> None:
    outputs, targets = th.rand(4, 7), th.rand(4, 7)
    checks = None if names is None else FiniteChecks(names)
    outputs[2, 1], targets[0, 3] = float("nan"), float("inf")
    found = "goal 1, goal 3" if names is None else "b, d"
    with pytest.raises(FloatingPointError, match=f"finite loss, got NaN or infinity for 2 of 7 goals: {found}; the update"):
        goals_loss(outputs, targets, "squared", True, checks=checks)
    targets[:] = float("nan")
    with pytest.raises(FloatingPointError, match=r"for 7 of 7 goals: .* and 2 more; the update"):
        goals_loss(outputs, targets, "bce", True, checks=checks)


@pytest.mark.parametrize("loss_fn", [bce_goals_loss, squared_goals_loss])
def test_no_gradient_flows_into_targets(loss_fn) -> None:
    outputs, targets = th.rand(4, 3, requires_grad=True), th.rand(4, 3, requires_grad=True)
    loss_fn(outputs, targets).backward()
    assert outputs.grad is not None and targets.grad is None


@pytest.mark.parametrize("head_name", HEADS)
@pytest.mark.parametrize("loss", ["bce", "squared"])
def test_loss_equals_naive_relabeling(head_name: str, loss: str) -> None:
    """Loss and gradients equal the mean over goals of single-goal losses of the same network."""
    th.manual_seed(0)
    trunk, head = nn.Sequential(nn.Linear(4, 6), nn.Tanh()).double(), HEADS[head_name]().double()
    obs, next_obs = th.randn(2, 16, 4, dtype=th.float64)
    actions, terminated = th.randint(0, 3, (16, 1)), th.rand(16) < 0.3
    achieved = (th.rand(16, 5) < 0.3).double()
    gamma = 0.9

    def all_goals_loss() -> th.Tensor:
        with th.no_grad():
            next_values = th.sigmoid(head.max_over_actions(trunk(next_obs)))
        targets = all_goals_targets(achieved, next_values, terminated, gamma)
        logits = head.taken(trunk(obs), actions)
        return bce_goals_loss(logits, targets) if loss == "bce" else squared_goals_loss(th.sigmoid(logits), targets)

    def single_goal_loss(goal: int) -> th.Tensor:
        """DQN with reward and done relabeled for one goal, from that goal's outputs of the full head."""
        reward = achieved[:, goal]
        done = ((reward > 0) | terminated).double()
        with th.no_grad():
            next_value = th.sigmoid(head(trunk(next_obs))[:, goal]).max(dim=1).values
        target = reward + gamma * (1 - done) * next_value
        value = th.sigmoid(head(trunk(obs))[:, goal].gather(1, actions)[:, 0])
        if loss == "bce":
            return -(target * value.log() + (1 - target) * (1 - value).log()).mean()
        return (0.5 * (value - target) ** 2).mean()

    def gradients(objective: th.Tensor) -> list[th.Tensor]:
        return list(th.autograd.grad(objective, [*trunk.parameters(), *head.parameters()]))

    actual, expected = all_goals_loss(), th.stack([single_goal_loss(goal) for goal in range(5)]).mean()
    th.testing.assert_close(actual, expected)
    th.testing.assert_close(gradients(actual), gradients(expected))


def test_one_goal_equals_dqn() -> None:
    """With one goal and the squared loss it is DQN with success as done (up to a factor of 0.5)."""
    th.manual_seed(0)
    head, features, next_features = DenseHead(6, 1, 3), th.randn(8, 6), th.randn(8, 6)
    actions, reward, terminated = th.randint(0, 3, (8, 1)), (th.rand(8, 1) < 0.5).float(), (th.rand(8, 1) < 0.3).float()
    with th.no_grad():
        next_values = head.max_over_actions(next_features).sigmoid()
        dqn_target = (
            reward + 0.9 * (1 - th.maximum(reward, terminated)) * head(next_features)[:, 0].max(1, True).values.sigmoid()
        )
    targets = all_goals_targets(reward, next_values, terminated, 0.9)
    loss = squared_goals_loss(head.taken(features, actions).sigmoid(), targets)
    value = head(features)[:, 0].gather(1, actions).sigmoid()
    th.testing.assert_close(loss, 0.5 * nn.functional.mse_loss(value, dqn_target))


@pytest.mark.parametrize("loss_fn", [bce_goals_loss, squared_goals_loss])
@pytest.mark.parametrize("shapes", [((4, 3), (4, 1)), ((4, 3), (4,)), ((4,), (4,)), ((4, 3), (3, 4))])
def test_losses_reject_shapes_that_would_broadcast(loss_fn, shapes) -> None:
    with pytest.raises(ValueError, match="same shape"):
        loss_fn(th.rand(shapes[0]), th.rand(shapes[1]))


def test_losses_reject_bad_weights_and_reductions() -> None:
    with pytest.raises(ValueError, match="goal_weights of shape"):
        bce_goals_loss(th.rand(4, 3), th.rand(4, 3), th.rand(4))
    with pytest.raises(ValueError, match="goal_reduction"):
        bce_goals_loss(th.rand(4, 3), th.rand(4, 3), goal_reduction="max")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("huber", True), r"loss to be one of \['bce', 'squared'\], got 'huber'"),
        (("bce", False), 'got squash=False; use loss="squared"'),
        (("bce", True, "max"), 'goal_reduction "mean" or "sum", got \'max\''),
    ],
)
def test_invalid_loss_options(options: tuple[str, bool], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_loss_options(*options)


def test_targets_reject_bad_shapes_and_types() -> None:
    good = th.rand(4, 3)
    with pytest.raises(ValueError, match="same shape"):
        all_goals_targets(good, th.rand(4, 1), th.zeros(4), 0.9)
    with pytest.raises(ValueError, match="terminated of shape"):
        all_goals_targets(good, good, th.zeros(3), 0.9)
    with pytest.raises(ValueError, match="discount of shape"):
        all_goals_targets(good, good, th.zeros(4), th.zeros(4, 2))
    with pytest.raises(ValueError, match="goal_returns and ended of the same shape"):
        all_goals_targets(good, good, th.zeros(4), 0.9, th.zeros(4, 1, dtype=th.bool))
    with pytest.raises(ValueError, match="as floats"):
        all_goals_targets(good > 0.5, good, th.zeros(4), 0.9)


def random_rollout(steps: int = 7, envs: int = 5, goals: int = 3) -> tuple[th.Tensor, ...]:
    generator = th.Generator().manual_seed(0)
    achieved = (th.rand(steps, envs, goals, generator=generator) < 0.2).float()
    values = th.rand(steps, envs, goals, generator=generator)
    cut = th.rand(steps, envs, generator=generator) < 0.3
    terminated = cut & (th.rand(steps, envs, generator=generator) < 0.5)
    assert achieved.any() and terminated.any() and (cut & ~terminated).any()
    return achieved, values, terminated, cut


def test_lambda_targets_with_lambda_0_are_one_step_targets() -> None:
    achieved, values, terminated, cut = random_rollout()
    targets = all_goals_lambda_targets(achieved, values, terminated, cut, 0.9, 0.0)
    flat = all_goals_targets(achieved.flatten(0, 1), values.flatten(0, 1), terminated.flatten(), 0.9)
    th.testing.assert_close(targets.flatten(0, 1), flat)


@pytest.mark.parametrize("q_lambda", [0.3, 1.0])
def test_lambda_targets_are_mixtures_of_n_step_returns(q_lambda: float) -> None:
    """Weight (1 - lambda) lambda^(n - 1) for the return that bootstraps after n steps, the remainder for the last one."""
    achieved, values, terminated, cut = random_rollout()
    steps, envs, goals = achieved.shape
    targets = all_goals_lambda_targets(achieved, values, terminated, cut, 0.9, q_lambda)
    for start, env, goal in np.ndindex(steps, envs, goals):
        expected, weight, length = 0.0, 1.0, 0
        while True:
            step, discount = start + length, 0.9**length
            if achieved[step, env, goal]:
                expected += weight * discount
                break
            if terminated[step, env]:
                break
            bootstrapped = discount * 0.9 * values[step, env, goal].item()
            if cut[step, env] or step == steps - 1:
                expected += weight * bootstrapped
                break
            expected += weight * (1 - q_lambda) * bootstrapped
            weight, length = weight * q_lambda, length + 1
        assert targets[start, env, goal].item() == pytest.approx(expected, abs=1e-6)


def test_lambda_targets_reject_bad_shapes() -> None:
    achieved, values, terminated, cut = random_rollout()
    with pytest.raises(ValueError, match=r"same shape \[steps, envs, goals\]"):
        all_goals_lambda_targets(achieved, values[:-1], terminated, cut, 0.9, 0.5)
    with pytest.raises(ValueError, match=r"terminated and cut of shape \(7, 5\)"):
        all_goals_lambda_targets(achieved, values, terminated.flatten(), cut, 0.9, 0.5)
