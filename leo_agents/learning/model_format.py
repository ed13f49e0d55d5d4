"""Version of saved models: others are rejected before anything in them is unpickled."""

import io
import json
import pathlib
import zipfile

from stable_baselines3.common.save_util import open_path

import leo_wrappers
from leo_agents.learning.archive_size import check_archive_size

MODEL_FORMAT = 3
"""Increased whenever models saved before can no longer be loaded; saved with every model as ``model_format``."""


def check_model_format(path: str | pathlib.Path | io.BufferedIOBase) -> None:
    """
    Raise a ``ValueError`` if a saved model has another format. Nothing is unpickled.

    :param path: saved model, or an open file
    """
    file = open_path(path, "r", verbose=0, suffix="zip")
    try:
        with zipfile.ZipFile(file) as archive:
            check_archive_size(archive, str(path))
            data = json.loads(archive.read("data"))
        model_format = data.get("model_format", 1)
    except Exception as error:  # zipfile raises many types for damaged archives
        raise ValueError(f"expected a saved model, got {path}, which is none ({error}); check the path") from error
    finally:
        if file is not path:
            file.close()
        else:
            file.seek(0)
    if model_format != MODEL_FORMAT:
        raise ValueError(
            f"expected a model of format {MODEL_FORMAT}, as saved by leo-rl {leo_wrappers.__version__}, got format "
            f"{model_format} in {path}; load it with the version that saved it, or train again"
        )
