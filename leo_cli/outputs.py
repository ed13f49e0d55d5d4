"""Files to write, looked at before the work whose results they are to hold."""

from pathlib import Path


def check_output(path: Path) -> Path:
    """
    Refuses a file that cannot be written.

    :param path: the file, which stays as it is
    :return: it
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"expected a folder to write {path.name} to, got {path.parent}, which does not exist; make it")
    existed = path.exists()
    try:
        with open(path, "ab"):
            pass
    except OSError as error:
        raise OSError(f"expected a file that can be written, got {path}: {error.strerror}; choose another") from error
    if not existed:
        path.unlink()
    return path


def make_output_folder(path: Path) -> Path:
    """
    Makes a folder, or says why not.

    :param path: the folder
    :return: it
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"expected a folder that can be made, got {path}: {error.strerror}; choose another") from error
    return path
