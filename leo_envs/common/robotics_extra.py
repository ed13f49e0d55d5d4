"""Lazy import of the libraries of the ``robotics`` extra, with a check of MuJoCo's version."""

import importlib
import re
from types import ModuleType

from gymnasium.error import DependencyNotInstalled

MUJOCO_VERSIONS = ">=3.3.0,!=3.9.0,<3.12"
"""Supported versions: the Fetch, Hand and Kitchen environments of Gymnasium-Robotics fail with MuJoCo 3.12 or later."""


def import_robotics(module: str) -> ModuleType:
    """
    Import a module of MuJoCo or Gymnasium-Robotics.

    Raises DependencyNotInstalled, with the command to install it, if it is missing or MuJoCo's version is unsupported.

    :param module: full name of the module
    :return: the module
    """
    try:
        check_mujoco_version(importlib.import_module("mujoco").__version__)
        return importlib.import_module(module)
    except ImportError as error:
        raise DependencyNotInstalled(
            f"expected mujoco and gymnasium-robotics for the robotics and Panda environments, got: {error}; "
            'run `pip install "leo-rl[robotics]"`'
        ) from error


def check_mujoco_version(version: str) -> None:
    """
    Raise DependencyNotInstalled unless MuJoCo's version is one of :data:`MUJOCO_VERSIONS`.

    :param version: ``mujoco.__version__``
    """
    oldest, excluded, too_new = (_version_numbers(bound) for bound in MUJOCO_VERSIONS.split(","))
    numbers = _version_numbers(version)
    if not oldest <= numbers < too_new or numbers == excluded:
        raise DependencyNotInstalled(
            f"expected mujoco{MUJOCO_VERSIONS}, got {version}, which Gymnasium-Robotics does not support; "
            'run `pip install "leo-rl[robotics]"` to install a supported version'
        )


def _version_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
