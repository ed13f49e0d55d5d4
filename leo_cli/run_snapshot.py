"""Undo what ``leo train`` wrote to a run folder when it fails before any training."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from leo_cli.run_config import COMMANDS_FILE, PROVENANCE_FILE, RUN_FILE


@contextmanager
def restore_on_failure(folder: Path) -> Iterator[None]:
    """
    Restore the description files of a run if an exception is raised inside, unless training has written files by then.

    :param folder: the run folder, which need not exist yet
    """
    existed, seed_files = folder.exists(), _seed_files(folder)
    files = {folder / name: _content(folder / name) for name in (RUN_FILE, PROVENANCE_FILE, COMMANDS_FILE)}
    try:
        yield
    except Exception:
        if _seed_files(folder) == seed_files:
            _restore(files)
            _remove_if_empty(*folder.glob("seed-*"), *([] if existed else [folder]))
        raise


def _restore(files: dict[Path, bytes | None]) -> None:
    for path, content in files.items():
        if content is None:
            if path.exists():
                path.unlink()
        elif content != _content(path):
            path.write_bytes(content)


def _remove_if_empty(*folders: Path) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _seed_files(folder: Path) -> dict[Path, int]:
    """Return the modification time of every file in the seeds' folders."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("seed-*/**/*") if path.is_file()}
