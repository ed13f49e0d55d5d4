"""The per-goal linear layer of the actors against a loop over the goals."""

import pytest
import torch as th

from leo_agents.networks.actor import GoalLinear


@pytest.fixture
def layer() -> GoalLinear:
    th.manual_seed(0)
    return GoalLinear(features_dim=16, num_goals=5, outputs=3)


@pytest.mark.parametrize("goals", [None, [3, 0], [2, 2]])
def test_forward_equals_a_loop_over_goals(layer: GoalLinear, goals: list[int] | None) -> None:
    features = th.randn(9, 16)
    outputs = layer(features, None if goals is None else th.tensor(goals))
    expected = [th.nn.functional.linear(features, layer.weight[g], layer.bias[g]) for g in goals or range(5)]
    th.testing.assert_close(outputs, th.stack(expected, dim=1))


def test_for_goals_equals_the_rows_of_forward(layer: GoalLinear) -> None:
    features, goal_ids = th.randn(9, 16), th.arange(9) % 5
    th.testing.assert_close(layer.for_goals(features, goal_ids), layer(features)[th.arange(9), goal_ids])


def test_autocast_returns_float32(layer: GoalLinear) -> None:
    features, goal_ids = th.randn(9, 16), th.arange(9) % 5
    expected = layer(features), layer.for_goals(features, goal_ids)
    with th.autocast("cpu", th.bfloat16):
        outputs = layer(features.bfloat16()), layer.for_goals(features.bfloat16(), goal_ids)
    for output, reference in zip(outputs, expected, strict=True):
        assert output.dtype == th.float32
        th.testing.assert_close(output, reference, rtol=0.02, atol=0.02)
    outputs[0].sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.dtype == th.float32 and layer.weight.grad.any()
