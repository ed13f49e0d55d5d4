"""FusedRAdam against PyTorch's RAdam, and one optimizer step with clipped gradients."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch as th

from leo_agents.learning.optimization import FusedRAdam, optimizer_step, rectification


def make_parameters() -> list[th.nn.Parameter]:
    generator = th.Generator().manual_seed(0)
    return [th.nn.Parameter(th.randn(shape, generator=generator)) for shape in ((4, 3), (5,))]


def set_gradients(parameters: list[th.nn.Parameter], step: int) -> None:
    """Set gradients that depend on the number of the step only."""
    generator = th.Generator().manual_seed(step)
    for parameter in parameters:
        parameter.grad = th.randn(parameter.shape, generator=generator)


OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "weight decay": {"weight_decay": 0.1, "lr": 0.01},
    "others": {"betas": (0.8, 0.99), "eps": 1e-3, "lr": 0.05},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_fused_radam_equals_radam(name: str) -> None:
    """Compare after every step: the first ones are not rectified."""
    ours, theirs = make_parameters(), make_parameters()
    optimizers = [(ours, FusedRAdam(ours, **OPTIONS[name])), (theirs, th.optim.RAdam(theirs, **OPTIONS[name]))]
    for step in range(25):
        for parameters, optimizer in optimizers:
            optimizer.param_groups[0]["lr"] *= 0.95  # as with a schedule
            set_gradients(parameters, step)
            optimizer.step()
        th.testing.assert_close(ours, theirs)


def test_fused_radam_with_parameter_groups() -> None:
    """Two groups with options of their own, one of them with a parameter that has no gradient."""

    def run(optimizer_class: Callable[..., th.optim.Optimizer]) -> list[th.nn.Parameter]:
        (first, second), unused = make_parameters(), th.nn.Parameter(th.ones(2))
        groups = [{"params": [first], "lr": 0.1}, {"params": [second, unused], "weight_decay": 0.3}]
        optimizer = optimizer_class(groups, lr=0.01)
        for step in range(25):
            set_gradients([first, second], step)
            optimizer.step()
        return [first, second, unused]

    ours, theirs = run(FusedRAdam), run(th.optim.RAdam)
    th.testing.assert_close(ours, theirs)
    assert th.equal(ours[2], th.ones(2))


def test_unrectified_steps_follow_the_momentum() -> None:
    factors = [rectification(step, 0.999) for step in range(1, 8)]
    assert factors[:5] == [None] * 5 and all(factors[5:])
    parameter = th.nn.Parameter(th.zeros(3))
    optimizer = FusedRAdam([parameter], lr=0.1)
    gradients = [th.tensor([1.0, -2.0, 0.0]), th.tensor([3.0, 3.0, 1.0])]
    expected = th.zeros(3)
    # Bias-corrected momentum: the gradient at the first step, a weighted mean of both at the second.
    for gradient, momentum in zip(gradients, [gradients[0], (0.9 * gradients[0] + gradients[1]) / 1.9], strict=True):
        parameter.grad = gradient.clone()
        optimizer.step()
        expected -= 0.1 * momentum
        th.testing.assert_close(parameter.data, expected)


@pytest.mark.parametrize("num_steps", [3, 10])
def test_fused_radam_state_dict(num_steps: int) -> None:
    """Continue with a new optimizer that loads the state, before and after rectification begins."""

    def train(parameters: list[th.nn.Parameter], optimizer: FusedRAdam, steps: range) -> None:
        for step in steps:
            set_gradients(parameters, step)
            optimizer.step()

    parameters = make_parameters()
    optimizer = FusedRAdam(parameters, lr=0.1, weight_decay=0.1)
    train(parameters, optimizer, range(num_steps))
    copies = copy.deepcopy(parameters)
    resumed = FusedRAdam(copies)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(parameters, optimizer, range(num_steps, 20))
    train(copies, resumed, range(num_steps, 20))
    assert all(th.equal(first, second) for first, second in zip(parameters, copies, strict=True))


def test_fused_radam_closure() -> None:
    parameter = th.nn.Parameter(th.tensor([2.0]))
    optimizer = FusedRAdam([parameter], lr=0.1)

    def closure() -> float:
        optimizer.zero_grad()
        loss = parameter.square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) == 4.0
    th.testing.assert_close(parameter.data, th.tensor([1.6]))


@pytest.mark.parametrize("max_grad_norm", [0.1, 1e3])
def test_gradients_are_clipped_as_by_clip_grad_norm(max_grad_norm: float) -> None:
    ours, theirs = make_parameters(), make_parameters()
    optimizer_step(th.optim.SGD(ours, lr=1.0), sum(p.square().sum() for p in ours), max_grad_norm)
    sum(p.square().sum() for p in theirs).backward()
    norm = th.nn.utils.clip_grad_norm_(theirs, max_grad_norm)
    assert (norm > max_grad_norm) == (max_grad_norm == 0.1)
    th.optim.SGD(theirs, lr=1.0).step()
    th.testing.assert_close(ours, theirs)


def test_earlier_gradients_are_discarded() -> None:
    parameter = th.nn.Parameter(th.zeros(1))
    parameter.grad = th.full((1,), 100.0)
    optimizer_step(th.optim.SGD([parameter], lr=1.0), 3.0 * parameter.sum())
    assert parameter.item() == -3.0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_raises_before_the_step(value: float) -> None:
    parameters = make_parameters()
    optimizer = FusedRAdam(parameters)
    before = copy.deepcopy(parameters)
    with pytest.raises(FloatingPointError, match=r"expected finite gradients, got a norm of .*; the update was not applied"):
        optimizer_step(optimizer, parameters[0].sum() + value * parameters[1].sum(), 1.0)
    assert all(th.equal(first, second) for first, second in zip(parameters, before, strict=True))
    assert not optimizer.state and optimizer.param_groups[0]["num_steps"] == 0
