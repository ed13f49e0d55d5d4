"""Layers for pairs of rows and goals: equal to the plain formula, with its gradients."""

import pytest
import torch as th

from leo_agents.networks import action_critic_head
from leo_agents.networks.pair_layers import PairLayers

BATCH, WIDTH, HIDDEN, ACTION = 5, 6, 4, 3


@pytest.fixture(params=[1, 2**18], ids=["one goal per block", "one block"])
def layers(request, monkeypatch):
    monkeypatch.setattr(action_critic_head, "BLOCK_ELEMENTS", request.param)
    th.manual_seed(0)
    result = PairLayers(WIDTH, HIDDEN, initial_value=0.3).double()
    with th.no_grad():
        for parameter in result.parameters():
            parameter.copy_(th.randn_like(parameter))
    return result


def inputs(num_shared, num_own):
    th.manual_seed(1)
    sizes = (BATCH, WIDTH), (num_shared, WIDTH), (BATCH, num_own, WIDTH)
    return tuple(th.randn(size, dtype=th.float64, requires_grad=True) for size in sizes)


def plain(layers, rows, shared, own, actions=0.0, action_weight=None):
    encodings = th.cat([shared.expand(len(rows), -1, -1), own], dim=1) + rows.unsqueeze(1)
    if action_weight is not None:
        encodings = encodings + actions @ action_weight.t()
    return th.relu(layers.hidden(th.relu(encodings))) @ layers.weight + layers.bias


@pytest.mark.parametrize("num_shared, num_own", [(3, 2), (4, 0), (0, 1), (1, 1)])
def test_logits_and_all_gradients_equal_the_plain_formula(layers, num_shared, num_own):
    tensors = inputs(num_shared, num_own)
    weights = th.randn(BATCH, num_shared + num_own, dtype=th.float64)
    everything = [*tensors, *layers.parameters()]
    outputs, expected = layers(*tensors), plain(layers, *tensors)
    assert th.allclose(outputs, expected)
    grads = th.autograd.grad((outputs * weights).sum(), everything)
    for grad, right in zip(
        grads, th.autograd.grad((expected * weights).sum(), everything, materialize_grads=True), strict=True
    ):
        assert th.allclose(grad, right)


@pytest.mark.parametrize("num_shared, num_own", [(3, 2), (4, 0), (0, 1)])
def test_the_diagonal_equals_the_plain_formula_with_gradients_of_the_actions_only(layers, num_shared, num_own):
    tensors = inputs(num_shared, num_own)
    actions = th.randn(BATCH, num_shared + num_own, ACTION, dtype=th.float64, requires_grad=True)
    action_weight = th.randn(WIDTH, ACTION, dtype=th.float64, requires_grad=True)
    outputs = layers.diagonal(*tensors, actions, action_weight)
    expected = plain(layers, *tensors, actions, action_weight)
    assert th.allclose(outputs, expected)
    weights = th.randn_like(outputs)
    (outputs * weights).sum().backward()
    assert th.allclose(actions.grad, th.autograd.grad((expected * weights).sum(), actions)[0])
    assert all(tensor.grad is None for tensor in [*tensors, action_weight, *layers.parameters()])


def test_without_gradients_the_outputs_are_the_same(layers):
    tensors = inputs(3, 2)
    actions, action_weight = th.zeros(BATCH, 5, ACTION, dtype=th.float64), th.zeros(WIDTH, ACTION, dtype=th.float64)
    with th.no_grad():
        assert th.allclose(layers(*tensors), layers.diagonal(*tensors, actions, action_weight))


def test_all_goals_have_the_initial_value():
    layers = PairLayers(WIDTH, HIDDEN, initial_value=0.3)
    rows, shared, own = (tensor.float() for tensor in inputs(3, 2))
    assert th.allclose(th.sigmoid(layers(rows, shared, own)), th.full((BATCH, 5), 0.3))
