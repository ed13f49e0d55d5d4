"""Precision of matrix products: bfloat16 where processors compute it, TensorFloat-32 with CUDA."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch as th

# bfloat16 counts as slow if a product takes this many times as long as in float32. It takes about half as long with native
# instructions, and 80 times as long without.
SLOWDOWN = 4.0


def bfloat16_autocast(device: th.device, enabled: bool) -> th.autocast:
    """
    Return the context in which the forward passes of ``amp=True`` run.

    :param device: device of the computation
    :param enabled: whether to compute in bfloat16 where that is safe; float32 if the device is slow at it, with a warning
    :return: a context manager
    """
    return th.autocast(device.type, dtype=th.bfloat16, enabled=enabled and _computes_bfloat16(device.type))


@contextmanager
def matmul_precision(device: th.device, tf32: bool) -> Iterator[None]:
    """
    Context in which float32 matrix products with CUDA are computed in TensorFloat-32, with 10 bits of mantissa.

    PyTorch's setting for all threads is changed inside the context, and only if it is the default, ``"highest"``.

    :param device: device of the computation; nothing changes unless it is CUDA
    :param tf32: whether to compute in TensorFloat-32
    """
    if device.type != "cuda" or not tf32 or th.get_float32_matmul_precision() != "highest":
        yield
        return
    th.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        th.set_float32_matmul_precision("highest")


@cache
def _computes_bfloat16(device_type: str) -> bool:
    """Return whether products in bfloat16 are not far slower than in float32; warn if they are. Measured once."""
    if device_type == "cuda":
        fast = th.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = _product_seconds(th.bfloat16) < SLOWDOWN * _product_seconds(th.float32)
    if not fast:
        warnings.warn(
            f"expected a device that computes bfloat16 for amp=True, got {device_type!r} without such instructions: computing "
            "in float32 instead; leave out amp=True",
            stacklevel=2,
        )
    return fast


def _product_seconds(dtype: th.dtype) -> float:
    """Measure a matrix product of about a tenth of a millisecond in float32: the shortest of several times."""
    matrix = th.ones(192, 192, dtype=dtype)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        th.mm(matrix, matrix)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
