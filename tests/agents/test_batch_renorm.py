"""Fused batch renormalisation against sb3-contrib's."""

import pytest
import torch as th
from sb3_contrib.common.torch_layers import BatchRenorm1d

from leo_agents.networks.batch_renorm import FusedBatchRenorm


@pytest.mark.parametrize("warmup", [0, 3, 100])
def test_outputs_gradients_and_statistics_are_those_of_sb3_contrib(warmup: int) -> None:
    """But for what a biased variance and the place of eps make of it, which large batches and a small eps do not show."""
    generator = th.Generator().manual_seed(0)
    kinds = (FusedBatchRenorm, BatchRenorm1d)
    ours, theirs = (kind(3, eps=1e-7, momentum=0.2, warmup_steps=warmup).double() for kind in kinds)
    with th.no_grad():
        ours.scale.copy_(th.tensor([0.5, 1.0, -2.0]))
        ours.bias.copy_(th.tensor([0.0, 1.0, 3.0]))
    theirs.load_state_dict(ours.state_dict())
    weights = th.randn(20_000, 3, generator=generator).double()
    for number in range(8):
        x = th.randn(20_000, 3, generator=generator) * th.tensor([1.0, 5.0, 0.1]) + number * th.tensor([0.0, 0.1, 9.0])
        x = x.double()
        results = []
        for layer in (ours, theirs):
            layer.zero_grad()
            own = x.clone().requires_grad_()
            out = layer(own)
            (out * weights).square().sum().backward()
            results.append((out.detach(), own.grad, layer.scale.grad, layer.bias.grad))
        for mine, other in zip(*results, strict=True):
            th.testing.assert_close(mine, other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))
        th.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-4, atol=1e-4)
    ours.eval(), theirs.eval()
    th.testing.assert_close(ours(x), theirs(x), rtol=1e-3, atol=1e-3)
    assert ours.steps == 8


def test_a_single_row_is_no_error() -> None:
    layer = FusedBatchRenorm(2)
    assert th.isfinite(layer(th.ones(1, 2))).all()
    assert th.isfinite(layer.ra_var).all()
