"""Folders of checkpoints: a checkpoint appears when it is complete, and its files are verified by their checksums."""

import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import IO, Any

import leo_wrappers
from leo_agents.learning.ownership import is_signed, sign

FORMAT = 4
"""Version of the layout of a checkpoint, increased whenever checkpoints written before can no longer be resumed."""
MANIFEST = "checkpoint.json"
"""Written last. Lists format, version, step and the SHA-256 of each file, followed by the user's mark and its own SHA-256."""
MODEL_FILE, STATE_FILE, REPLAY_FILE, ENV_FILE = "model.zip", "state.pkl", "replay.pkl", "env.pkl"
ALL_FILES = (MODEL_FILE, STATE_FILE, REPLAY_FILE, ENV_FILE)
_PARTIAL = ".partial-"
# ".replaced-" marks a checkpoint until a new one of the same step is in place.
_NAME = re.compile(r"(?:\.replaced-)?step-(\d{12,})")


class CheckpointNotSavedError(OSError):
    """A checkpoint could not be written, for example because the disk is full."""


class DamagedCheckpointError(ValueError):
    """A folder contains checkpoints, but none of them is complete and unchanged."""


class CheckpointFormatError(ValueError):
    """A checkpoint was written by an incompatible version."""


def write_checkpoint(folder: Path, step: int, writers: Mapping[str, Callable[[IO[bytes]], object]], keep: int) -> Path:
    """
    Write a checkpoint, then remove the obsolete ones.

    The files and, last, the manifest are written and flushed in a temporary folder, which is then renamed: a process killed at
    any time leaves the previous checkpoints intact.

    :param folder: folder of the checkpoints
    :param step: number of environment steps
    :param writers: functions that write the content of each file
    :param keep: number of checkpoints to keep
    :return: path of the new checkpoint
    """
    partial, final = folder / f"{_PARTIAL}{os.getpid()}", folder / f"step-{step:012d}"
    replaced = folder / f".replaced-{final.name}"
    try:
        _remove_partial(folder)
        partial.mkdir(parents=True)
        checksums = {name: _write_file(partial / name, write) for name, write in writers.items()}
        manifest: dict[str, Any] = {"format": FORMAT, "leo-rl": leo_wrappers.__version__, "step": step, "files": checksums}
        manifest["mark"] = sign(_canonical(manifest))
        text = json.dumps({**manifest, "sha256": _manifest_checksum(manifest)}, indent=2)
        _write_file(partial / MANIFEST, lambda file: file.write(text.encode()))
        _flush(partial)
        if final.exists():
            shutil.rmtree(replaced, ignore_errors=True)
            final.rename(replaced)
        partial.rename(final)
        _flush(folder)
    except OSError as error:
        raise CheckpointNotSavedError(
            f"expected to write a checkpoint to {folder}, got: {error.strerror or error}; make sure that the folder is "
            f"writable and its disk has free space, then {_what_to_resume(folder)}"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _remove_obsolete(folder, final, keep)
    return final


def latest_checkpoint(folder: str | os.PathLike[str], files: Container[str] = ()) -> Path:
    """
    Return the newest checkpoint whose manifest and files are unchanged, with a warning if newer ones are damaged.

    :param folder: folder of the checkpoints of a training run
    :param files: names of the files to verify by their checksums
    :return: path of the checkpoint
    """
    problems: list[str] = []
    for checkpoint in _checkpoints(Path(folder)):
        found = _find_problems(checkpoint, files)
        if not found:
            if problems:
                # All calls warn from this line, so that a command that looks several times prints the warning once.
                warnings.warn(f"Using the older checkpoint {checkpoint}; not used: {'; '.join(problems)}.", stacklevel=1)
            return checkpoint
        problems.append(f"{checkpoint.name} ({', '.join(found)})")
    if problems:
        raise DamagedCheckpointError(
            f"expected a complete checkpoint in {folder}, got: {'; '.join(problems)}; restore the files, or delete "
            f"{folder} and train again"
        )
    raise FileNotFoundError(f"expected a checkpoint (step-...) in {folder}, found none; check the path")


def checkpoint_step(checkpoint: Path) -> int:
    """
    Return the number of environment steps at a checkpoint.

    :param checkpoint: path of the checkpoint
    """
    return int(checkpoint.name.rpartition("-")[2])


def includes_environment(checkpoint: Path) -> bool:
    """
    Return whether a checkpoint was written with the state of the environment.

    :param checkpoint: path of the checkpoint
    """
    return ENV_FILE in _read_manifest(checkpoint)["files"]


def is_own_checkpoint(checkpoint: Path) -> bool:
    """
    Return whether this user wrote a checkpoint on this machine. This covers the files whose checksums were verified by
    :func:`latest_checkpoint`.

    :param checkpoint: path of the checkpoint
    """
    manifest = _read_manifest(checkpoint)
    mark = manifest.pop("mark", None)
    return is_signed(_canonical(manifest), mark)


def _checkpoints(folder: Path) -> list[Path]:
    """Return everything that is named like a checkpoint, the newest first."""
    found = [path for path in folder.glob("*step-*") if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: (checkpoint_step(path), path.name), reverse=True)


def _find_problems(checkpoint: Path, files: Container[str]) -> list[str]:
    """Return what is wrong with a checkpoint; raise ``CheckpointFormatError`` if it was written by an incompatible version."""
    try:
        manifest = _read_manifest(checkpoint)
    except DamagedCheckpointError as error:
        return [str(error)]
    if manifest["step"] != checkpoint_step(checkpoint):
        return [f"renamed, contains step {manifest['step']}"]
    checked = {name: expected for name, expected in manifest["files"].items() if name in files}
    return [problem for name, expected in checked.items() if (problem := _file_problem(checkpoint / name, expected))]


def _read_manifest(checkpoint: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((checkpoint / MANIFEST).read_bytes())
        checksum, found, version = manifest.pop("sha256", None), manifest["format"], manifest["leo-rl"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DamagedCheckpointError(f"{MANIFEST} is missing") from error
    except OSError as error:
        raise DamagedCheckpointError(f"{MANIFEST} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedCheckpointError(f"{MANIFEST} is damaged") from error
    intact = checksum == _manifest_checksum(manifest)
    if found != FORMAT and (intact or checksum is None):  # format 2 had no checksums
        raise CheckpointFormatError(
            f"expected a checkpoint of format {FORMAT}, as written by leo-rl {leo_wrappers.__version__}, in {checkpoint}, "
            f"got format {found}, written by leo-rl {version}; resume it with the version that wrote it, or train again"
        )
    if not intact:
        raise DamagedCheckpointError(f"{MANIFEST} is damaged")
    return manifest


def _file_problem(path: Path, expected: str) -> str | None:
    try:
        return None if _checksum(path) == expected else f"{path.name} differs from its checksum"
    except FileNotFoundError:
        return f"{path.name} is missing"
    except OSError as error:
        return f"{path.name} cannot be read: {error.strerror}"


def _what_to_resume(folder: Path) -> str:
    try:
        return f"resume from {latest_checkpoint(folder, ALL_FILES)}, which is complete"
    except (OSError, ValueError):
        return "train again: no earlier checkpoint exists"


def _remove_obsolete(folder: Path, new: Path, keep: int) -> None:
    """Remove checkpoints of later steps, which belong to an abandoned training, and all others but the newest ``keep``."""
    others = [path for path in _checkpoints(folder) if path != new and (path / MANIFEST).is_file()]
    earlier = [path for path in others if checkpoint_step(path) < checkpoint_step(new)]
    for path in others:
        if path not in earlier[: keep - 1]:
            path.rename(folder / f"{_PARTIAL}{path.name}")  # a half-deleted checkpoint must not look like a damaged one
    _remove_partial(folder)


def _remove_partial(folder: Path) -> None:
    for path in folder.glob(f"{_PARTIAL}*"):
        shutil.rmtree(path, ignore_errors=True)


def _manifest_checksum(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(manifest)).hexdigest()


def _canonical(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, sort_keys=True).encode()


def _write_file(path: Path, write: Callable[[IO[bytes]], object]) -> str:
    """Write and flush a file; return its checksum."""
    with open(path, "wb") as file:
        write(file)
    _flush(path)
    return _checksum(path)


def _checksum(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Flush to disk, so that a rename never becomes visible before the content of the files."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
