"""Folders of arrays that are read as memory maps."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

INFO_FILE, FORMAT = "dataset.json", 1


def write_arrays(folder: Path, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> None:
    """
    Write arrays to a new folder, one ``.npy`` file each. The folder appears when it is complete.

    :param folder: the folder, which must not exist
    :param arrays: arrays by name
    :param about: further content of ``dataset.json``
    """
    if folder.exists():
        raise ValueError(f"expected a new folder, got {folder}, which exists; choose another one or remove it")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for number, array in enumerate(arrays.values()):
        np.save(partial / f"{number}.npy", array)
    (partial / INFO_FILE).write_text(
        json.dumps({"format": FORMAT, **about, "arrays": list(arrays)}, indent=1), encoding="utf-8"
    )
    os.replace(partial, folder)


def read_arrays(folder: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """
    Map the arrays of a folder into memory.

    :param folder: written by :func:`write_arrays`
    :return: arrays by name, and the content of ``dataset.json``
    """
    file = folder / INFO_FILE
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        found, names = about["format"], list(about["arrays"])
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(
            f"expected a folder with {INFO_FILE}, got {str(folder)!r} without; pass one that GoalDataset.save or `leo "
            "collect` has written"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"expected a complete {file}, got {type(error).__name__}: {error}; restore it") from error
    if found != FORMAT:
        raise ValueError(f"expected format {FORMAT} in {file}, got {found}; install the version that wrote it")
    return {name: _read_array(folder / f"{number}.npy", name) for number, name in enumerate(names)}, about


def _read_array(path: Path, name: str) -> npt.NDArray[Any]:
    remedy = "restore it or collect the dataset again"
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r")
    except FileNotFoundError as error:
        raise ValueError(f"expected {path} with {name}, got no such file; {remedy}") from error
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"expected a complete {path} with {name}, got a truncated one ({error}); {remedy}") from error
    return array
