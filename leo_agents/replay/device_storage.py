"""Transfers to the device of the networks, and arrays of a replay buffer there, sampled without a copy from the host."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th

_BITS = 8


def to_device(values: npt.NDArray[Any] | th.Tensor, device: th.device) -> th.Tensor:
    """
    Transfer an array to a device; with CUDA, the host does not wait for the work that the device has been given before.

    :param values: an array, or a tensor
    :param device: the device
    :return: a tensor, which may share the memory of the values
    """
    if not isinstance(values, th.Tensor):
        values = th.as_tensor(np.ascontiguousarray(values))
    if device.type == "cuda" and values.device.type == "cpu":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


class DeviceArray:
    """
    Array on a device, written by rows of NumPy arrays, of which rows are read as tensors.

    A pickle contains the values; it is loaded to the CPU on machines without the device.

    :param shape: shape of the array
    :param dtype: NumPy's type
    :param device: the device
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, device: th.device) -> None:
        self.values = th.zeros(shape, dtype=th.as_tensor(np.zeros(0, dtype)).dtype, device=device)

    @classmethod
    def like(cls, array: npt.NDArray[Any], device: th.device) -> Any:
        """
        Create zeros in place of an array. Buffers use both alike, which types cannot say.

        :param array: an array of the shape and type
        :param device: the device
        :return: the array on the device
        """
        return cls(array.shape, array.dtype, device)

    def __setitem__(self, row: int, values: npt.NDArray[Any]) -> None:
        self.values[row] = to_device(values, self.values.device)

    def __getitem__(self, rows: tuple[th.Tensor, ...]) -> th.Tensor:
        return self.values[rows]

    def __getstate__(self) -> dict[str, Any]:
        return {"values": self.values.cpu().numpy(), "device": str(self.values.device)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        device = th.device(state["device"])
        available = device.type == "cpu" or th.get_device_module(device).is_available()
        self.values = th.as_tensor(state["values"], device=device if available else "cpu")


def unpack_bits(packed: th.Tensor, count: int) -> th.Tensor:
    """
    Unpack masks packed by ``numpy.packbits``.

    :param packed: uint8 ``[B, ceil(count / 8)]``
    :param count: number of bits
    :return: float32 ``[B, count]``
    """
    shifts = th.arange(_BITS - 1, -1, -1, dtype=th.uint8, device=packed.device)
    return ((packed.unsqueeze(2) >> shifts) & 1).flatten(1)[:, :count].float()
