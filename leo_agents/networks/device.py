"""Whether the host runs ahead of a device, so that reading a tensor there would stop both."""

import torch as th


def is_asynchronous(device: th.device) -> bool:
    """
    Return whether the host queues operations without waiting for them, as with CUDA.

    There, one large operation is faster than many small ones that read and write less, and the value of a tensor must not be
    read while training: the host would wait for the device, and the device for the next operation.

    :param device: a device
    """
    return _is_asynchronous(device)


def _is_asynchronous(device: th.device) -> bool:
    # A function of its own, which tests replace to run the same code on the CPU.
    return device.type == "cuda"
