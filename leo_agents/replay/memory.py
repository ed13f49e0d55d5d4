"""Checks before large allocations."""

import torch as th

from leo_wrappers.memory import total_memory


def format_bytes(num_bytes: float) -> str:
    """
    Format a size in human-readable units.

    :param num_bytes: number of bytes
    :return: for example ``"64.0 MB"``
    """
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.2f} GB"


def check_fits_in_memory(what: str, sizes: dict[str, int], advice: str) -> None:
    """
    Raise ``MemoryError`` if an allocation exceeds the memory of the machine.

    Operating systems allocate lazily: without this check the process would be killed hours later, when the arrays fill up.

    :param what: what is to be allocated
    :param sizes: size of each part in bytes
    :param advice: remedy, the last part of the error message
    """
    _check_fits(what, sizes, total_memory(), "memory", advice)


def check_fits_on_device(what: str, sizes: dict[str, int], device: th.device, advice: str) -> None:
    """
    Raise ``MemoryError`` if an allocation exceeds the free memory of a device.

    :param what: what is to be allocated
    :param sizes: size of each part in bytes
    :param device: the device
    :param advice: remedy, the last part of the error message
    """
    free = th.cuda.mem_get_info(device)[0] if device.type == "cuda" else total_memory()
    _check_fits(what, sizes, free, f"free memory of the device {device}", advice)


def _check_fits(what: str, sizes: dict[str, int], available: int | None, memory: str, advice: str) -> None:
    needed = sum(sizes.values())
    if available is not None and needed > available:
        parts = ", ".join(f"{name} {format_bytes(size)}" for name, size in sizes.items())
        raise MemoryError(
            f"expected {what} to fit in {format_bytes(available)} of {memory}, got {format_bytes(needed)} ({parts}); {advice}"
        )
