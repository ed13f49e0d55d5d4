"""Check before a training that its checkpoints will fit on the disk."""

import os
import shutil
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

_SPARE_BYTES = 50_000_000


def check_disk_space(folder: Path, needed: int = 0) -> None:
    """
    Check that a folder is writable and its disk has enough free space.

    :param folder: the folder
    :param needed: minimum number of bytes that will be written
    """
    probe = folder / ".probe"
    try:
        with open(probe, "wb") as file:
            file.write(b"\0" * 1_000_000)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(
            f"expected to write to {folder}, got: {error.strerror}; free some space or choose another folder"
        ) from error
    finally:
        probe.unlink(missing_ok=True)
    free, required = shutil.disk_usage(folder).free, needed + _SPARE_BYTES
    if free < required:
        raise OSError(
            f"expected {required / 1e6:,.0f} MB for checkpoints in {folder}, got {free / 1e6:,.0f} MB of free space; free "
            "some, choose another folder, keep fewer checkpoints, or set a smaller buffer_size"
        )


def check_checkpoint_space(folder: Path, model: BaseAlgorithm, keep: int, jobs: int) -> None:
    """
    Check that the checkpoints of a training fit on the disk.

    :param folder: folder of the checkpoints
    :param model: the model to train
    :param keep: number of checkpoints to keep
    :param jobs: number of trainings that write to the same disk
    """
    check_disk_space(folder, jobs * checkpoint_bytes(model, keep))


def checkpoint_bytes(model: BaseAlgorithm, keep: int) -> int:
    """
    Estimate the disk space that the checkpoints of a model need.

    :param model: the model
    :param keep: number of checkpoints to keep
    :return: bytes of one checkpoint more, because a new one is complete before the oldest one is deleted
    """
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.policy.parameters())
    buffer = _array_bytes(vars(model.replay_buffer)) if isinstance(model, OffPolicyAlgorithm) else 0
    # Adam keeps two moments per weight.
    return (keep + 1) * (3 * weights + buffer)


def _array_bytes(value: Any) -> int:
    if isinstance(value, dict):
        return sum(_array_bytes(part) for part in value.values())
    return int(getattr(value, "nbytes", 0))
