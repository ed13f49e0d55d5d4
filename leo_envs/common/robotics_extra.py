"""The libraries of the robotics extra: imported when an environment is made, refused where they are known not to work."""

import importlib
import re
from types import ModuleType

from gymnasium.error import DependencyNotInstalled

MUJOCO_VERSIONS = ">=3.3.0,!=3.9.0,<3.12"
"""What the extra asks for: from 3.12 on, the Fetch, hand and kitchen environments of Gymnasium-Robotics fail."""

_OLDEST, _EXCLUDED, _TOO_NEW = (3, 3, 0), (3, 9, 0), (3, 12, 0)


def import_robotics(module: str) -> ModuleType:
    """
    A module of MuJoCo or of Gymnasium-Robotics.

    :param module: its full name
    :return: the module; a DependencyNotInstalled says what to install where it is missing or MuJoCo's version does not work
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
    Refuse a version of MuJoCo with which these environments do not work.

    :param version: as in ``mujoco.__version__``
    """
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if not _OLDEST <= numbers < _TOO_NEW or numbers == _EXCLUDED:
        raise DependencyNotInstalled(
            f"expected mujoco{MUJOCO_VERSIONS}, got {version}, with which Gymnasium-Robotics does not work; "
            'run `pip install "leo-rl[robotics]"`, which chooses one that does'
        )
