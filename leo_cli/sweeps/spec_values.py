"""Read and check the values of a sweep's or a search's YAML file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leo_cli.algorithms import find_algorithm
from leo_cli.environments import Environment, find_environment
from leo_cli.overrides import read_yaml
from leo_cli.suggestions import unknown

DEFAULT_TIMEOUT = 120.0
"""Seconds without a heartbeat; network file systems may show one a minute late."""
_MIN_TIMEOUT = 2.0


def read_spec(path: Path, keys: Sequence[str], required: Sequence[str]) -> dict[str, Any]:
    """
    Read a YAML file with known keys.

    :param path: the file
    :param keys: all keys that it may have
    :param required: the keys that it must have
    :return: its content
    """
    content = mapping(read_yaml(path), "keys and values", path)
    for key in content:
        if key not in keys:
            raise unknown(f"a key of {path}", str(key), keys)
    for key in required:
        if key not in content:
            raise ValueError(f"expected {' and '.join(required)} in {path}, got no {key}; add it")
    return content


def mapping(value: Any, what: str, path: Path) -> dict[str, Any]:
    """
    Check that a value consists of keys and values.

    :param value: the value; None counts as empty
    :param what: what it is, for the error message
    :param path: its file
    :return: the value
    """
    value = {} if value is None else value
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"expected {what} as `key: value` in {path}, got {value!r}; write one below the other")
    return value


def items(value: Any, what: str, path: Path) -> list[Any]:
    """
    Check that a value is a list that is not empty.

    :param value: the value
    :param what: what it is, for the error message
    :param path: its file
    :return: the list
    """
    if not isinstance(value, list) or not value:
        raise ValueError(f"expected a list of {what} in {path}, got {value!r}; write e.g. [one, another]")
    return value


def read_algorithm(name: Any, path: Path) -> str:
    """
    Check the name of an algorithm.

    :param name: the name
    :param path: its file
    :return: the name in lower case
    """
    if not isinstance(name, str):
        raise ValueError(f"expected the name of an algorithm in {path}, got {name!r}; write e.g. leodqn")
    find_algorithm(name)
    return name.lower()


def read_environment(value: Any, path: Path) -> Environment:
    """
    Find an environment.

    :param value: its name, or a dictionary with the name as ``env`` and arguments as ``env_set``
    :param path: its file
    :return: the environment
    """
    parts = {"env": value} if isinstance(value, str) else mapping(value, "an environment", path)
    for key in parts:
        if key not in ("env", "env_set"):
            raise unknown(f"a key of an environment in {path}", key, ("env", "env_set"))
    if not isinstance(parts.get("env"), str):
        raise ValueError(f"expected an environment in {path}, got {value!r}; e.g. {{env: GridWorld, env_set: {{size: 9}}}}")
    return find_environment(parts["env"], mapping(parts.get("env_set"), "env_set", path))


def read_seeds(value: Any, path: Path) -> list[int]:
    """
    Read seeds.

    :param value: a list of seeds, or their number
    :param path: its file
    :return: the seeds
    """
    seeds = list(range(value)) if type(value) is int else value
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise ValueError(f"expected a number of seeds or a list of seeds in {path}, got {value!r}; write e.g. seeds: 3")
    return list(dict.fromkeys(seeds))


def read_count(value: Any, what: str, path: Path, smallest: int = 1) -> int:
    """
    Check a whole number.

    :param value: the number
    :param what: its key, for the error message
    :param path: its file
    :param smallest: smallest valid number
    :return: the number
    """
    if type(value) is not int or value < smallest:
        raise ValueError(f"expected {what} of at least {smallest} in {path}, got {value!r}; change it")
    return value


def read_timeout(value: Any, path: Path) -> float:
    """
    Check the number of seconds after which another worker takes over a job.

    :param value: the number
    :param path: its file
    :return: the number
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not _MIN_TIMEOUT <= value < float("inf"):
        raise ValueError(
            f"expected heartbeat_timeout of at least {_MIN_TIMEOUT:g} seconds in {path}, got {value!r}; "
            f"{DEFAULT_TIMEOUT:g} is usual"
        )
    return float(value)


def read_config_path(value: Any, path: Path) -> Path | None:
    """
    Find the settings file that a sweep names.

    :param value: path relative to the folder of the sweep's file; None for the settings that the package provides
    :param path: the sweep's file
    :return: the path
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"expected the path of a settings file as config in {path}, got {value!r}; write e.g. config: my.yml")
    return path.parent / value
