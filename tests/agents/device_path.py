"""Helpers for tests of the code that runs with CUDA: run it on the CPU, and count where the host would wait for the device."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch as th
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from leo_agents.networks import device

# Operations whose result the host needs to go on, or whose result has a size that the device decides.
READING_OPERATIONS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::equal"}
READING_METHODS = {"item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__index__"}


@contextmanager
def forced_device_path(forced: bool = True) -> Iterator[None]:
    """Context in which tensors on the CPU are treated as if they were on a CUDA device."""
    with mock.patch.object(device, "_is_asynchronous", lambda _: forced):
        yield


class _Operations(TorchDispatchMode):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().partition(".")[0]
        masks = [part for part in (args[1] if name.startswith("aten::index") and isinstance(args[1], list | tuple) else [])]
        if name in READING_OPERATIONS or any(isinstance(mask, th.Tensor) and mask.dtype == th.bool for mask in masks):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


class _Methods(TorchFunctionMode):
    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in READING_METHODS:
            self.found.append(f"Tensor.{func.__name__}")
        return func(*args, **(kwargs or {}))


@contextmanager
def found_syncs() -> Iterator[list[str]]:
    """Context that lists the operations for which the host would wait for the device."""
    found: list[str] = []
    with _Methods(found), _Operations(found):
        yield found
