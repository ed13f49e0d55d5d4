"""bfloat16 only where it is not slow, and TensorFloat-32 only inside the context."""

from collections.abc import Iterator

import pytest
import torch as th

from leo_agents import LEODQN
from leo_agents.learning import precision
from leo_agents.learning.precision import bfloat16_autocast, matmul_precision
from tests.line_env import make_line

CPU, CUDA = th.device("cpu"), th.device("cuda")


@pytest.fixture
def bfloat16_seconds(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[th.dtype, float]]:
    """Replace the measurement by given durations."""
    seconds = {th.float32: 1.0, th.bfloat16: 0.5}
    monkeypatch.setattr(precision, "_product_seconds", seconds.__getitem__)
    precision._computes_bfloat16.cache_clear()
    yield seconds
    precision._computes_bfloat16.cache_clear()


def train(amp: bool) -> list[th.Tensor]:
    options = {"learning_starts": 20, "seed": 0, "device": "cpu", "policy_kwargs": {"net_arch": [16]}}
    return list(LEODQN("MultiGoalPolicy", make_line(), amp=amp, **options).learn(40).policy.parameters())


def test_a_slow_processor_computes_in_float32(bfloat16_seconds: dict[th.dtype, float]) -> None:
    bfloat16_seconds[th.bfloat16] = 80.0
    with pytest.warns(UserWarning, match="expected a device that computes bfloat16 for amp=True, got 'cpu' without"):
        slow = train(amp=True)
    assert all(th.equal(first, second) for first, second in zip(slow, train(amp=False), strict=True))


@pytest.mark.parametrize("seconds", [0.5, 1.5])
def test_a_fast_processor_computes_in_bfloat16(bfloat16_seconds: dict[th.dtype, float], seconds: float) -> None:
    bfloat16_seconds[th.bfloat16] = seconds
    with bfloat16_autocast(CPU, True):
        assert (th.ones(2, 2) @ th.ones(2, 2)).dtype == th.bfloat16
    with bfloat16_autocast(CPU, False):
        assert (th.ones(2, 2) @ th.ones(2, 2)).dtype == th.float32
    assert not all(th.equal(first, second) for first, second in zip(train(amp=True), train(amp=False), strict=True))


def test_nothing_is_measured_without_amp(bfloat16_seconds: dict[th.dtype, float]) -> None:
    bfloat16_seconds.clear()
    train(amp=False)


@pytest.mark.parametrize(
    ("device", "tf32", "before", "inside"),
    [
        (CUDA, True, "highest", "high"),
        (CUDA, False, "highest", "highest"),
        (CUDA, True, "medium", "medium"),
        (CPU, True, "highest", "highest"),
    ],
)
def test_matmul_precision(device: th.device, tf32: bool, before: str, inside: str) -> None:
    th.set_float32_matmul_precision(before)
    try:
        with pytest.raises(KeyError), matmul_precision(device, tf32):
            assert th.get_float32_matmul_precision() == inside
            raise KeyError
        assert th.get_float32_matmul_precision() == before
    finally:
        th.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("tf32", [True, False])
def test_learn_uses_tensor_float_32(tf32: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The context is entered with the device of the model and the argument."""
    entered = []

    def context(device: th.device, enabled: bool) -> th.enable_grad:
        entered.append((device, enabled))
        return th.enable_grad()  # a context without effect

    monkeypatch.setattr("leo_agents.algorithms.goal_algorithm.matmul_precision", context)
    LEODQN("MultiGoalPolicy", make_line(), tf32=tf32, device="cpu").learn(10)
    assert entered == [(CPU, tf32)]
