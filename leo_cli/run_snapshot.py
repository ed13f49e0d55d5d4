"""What a command writes about a run before it trains, taken back where nothing came of it."""

from contextlib import suppress
from pathlib import Path

from leo_cli.run_folder import RUN_FILE

_FILES = (RUN_FILE, "provenance.yml", "commands.txt")


class Notes:
    """
    Remembers a run's folder as it is.

    :param folder: the folder, which need not exist yet
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._existed = folder, folder.exists()
        self._before = {name: _content(folder / name) for name in _FILES}
        self._trained = _trainings(folder)

    def take_back(self) -> None:
        """Puts the folder back, unless there has been some training, which the notes are true of."""
        if _trainings(self._folder) != self._trained:
            return
        for name, content in self._before.items():
            path = self._folder / name
            if content is None:
                path.unlink(missing_ok=True)
            elif content != _content(path):
                path.write_bytes(content)
        for seed in self._folder.glob("seed-*"):
            with suppress(OSError):  # not empty
                seed.rmdir()
        if not self._existed:
            with suppress(OSError):
                self._folder.rmdir()


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _trainings(folder: Path) -> dict[Path, int]:
    """Every file of the trainings and when it was written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("seed-*/**/*") if path.is_file()}
