"""Fused batch renormalization against sb3-contrib's."""

import pytest
import torch as th
from sb3_contrib.common.torch_layers import BatchRenorm1d

from leo_agents.networks.batch_renorm import FusedBatchRenorm


@pytest.mark.parametrize("warmup", [0, 3, 100])
def test_outputs_gradients_and_statistics_agree_with_sb3_contrib(warmup: int) -> None:
    """
    The two differ in the variance (biased or unbiased) and in where ``eps`` is added. A large batch and a small ``eps`` keep
    the difference below the tolerance.
    """
    generator = th.Generator().manual_seed(0)
    layers = [cls(3, eps=1e-7, momentum=0.2, warmup_steps=warmup).double() for cls in (FusedBatchRenorm, BatchRenorm1d)]
    fused, reference = layers
    with th.no_grad():
        fused.scale.copy_(th.tensor([0.5, 1.0, -2.0]))
        fused.bias.copy_(th.tensor([0.0, 1.0, 3.0]))
    reference.load_state_dict(fused.state_dict())
    weights = th.randn(20_000, 3, generator=generator).double()
    for step in range(8):
        x = th.randn(20_000, 3, generator=generator) * th.tensor([1.0, 5.0, 0.1]) + step * th.tensor([0.0, 0.1, 9.0])
        x = x.double()
        results = []
        for layer in layers:
            layer.zero_grad()
            inputs = x.clone().requires_grad_()
            out = layer(inputs)
            (out * weights).square().sum().backward()
            results.append((out.detach(), inputs.grad, layer.scale.grad, layer.bias.grad))
        for actual, expected in zip(*results, strict=True):
            assert (actual - expected).norm() < 1e-3 * expected.norm()
        th.testing.assert_close(fused.state_dict(), reference.state_dict(), rtol=1e-4, atol=1e-4)
    fused.eval(), reference.eval()
    th.testing.assert_close(fused(x), reference(x), rtol=1e-3, atol=1e-3)
    assert fused.steps == 8


def test_a_batch_of_one_row_is_finite() -> None:
    layer = FusedBatchRenorm(2)
    assert th.isfinite(layer(th.ones(1, 2))).all()
    assert th.isfinite(layer.ra_var).all()


def test_running_statistics_of_a_small_batch_equal_batch_normalization() -> None:
    fused, reference = FusedBatchRenorm(2, momentum=0.2), th.nn.BatchNorm1d(2, momentum=0.2)
    batch = th.tensor([[0.0, 5.0], [2.0, 5.5], [7.0, -1.0]])
    for layer in (fused, reference):
        layer(batch)
    th.testing.assert_close(fused.ra_mean, reference.running_mean)
    th.testing.assert_close(fused.ra_var, reference.running_var)
