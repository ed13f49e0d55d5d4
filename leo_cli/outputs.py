"""Check output paths before the work whose results are written there."""

from pathlib import Path


def check_output(path: Path) -> Path:
    """
    Check that a file can be written, without changing it.

    :param path: the file
    :return: ``path``
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"expected a folder to write {path.name} to, got {path.parent}, a missing folder; create it")
    if path.is_symlink() and path.resolve().is_file():
        raise OSError(f"expected a file, got {path}, a link to {path.resolve()}; delete the link, or choose another file")
    existed = path.exists()
    try:
        with open(path, "ab"):
            pass
    except OSError as error:
        raise OSError(f"expected a writable file, got {path}: {error.strerror}; choose another") from error
    if not existed:
        path.unlink()
    return path


def check_inside(path: Path, run: Path) -> None:
    """
    Check that a folder of a run is no link out of the run: results would be written to someone else's choice of folder.

    :param path: the folder
    :param run: the run folder
    """
    if not path.resolve().is_relative_to(run.resolve()):
        raise OSError(f"expected a folder of the run {run}, got {path}, a link to {path.resolve()}; delete the link")


def make_output_folder(path: Path, option: str = "--out") -> Path:
    """
    Create a folder and its parents if they do not exist.

    :param path: the folder
    :param option: name of the command-line option, for error messages
    :return: ``path``
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"expected to create {path}, got: {error.strerror}; choose another {option}") from error
    return path
