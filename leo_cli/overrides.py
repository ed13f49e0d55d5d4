"""Values in YAML files and on the command line, ``key=value``."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """Reads ``1e-3`` as the number that everybody means by it; YAML 1.1 insists on ``1.0e-3``."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)$"), list("-+.0123456789")
)


def read_yaml(path: Path) -> Any:
    """
    :param path: a YAML file
    :return: what is in it
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"expected YAML in {path}, got something else: {error}; mend the file") from error


def parse_value(text: str) -> Any:
    """
    :param text: a value as YAML writes it
    :return: the value

    Example::

        >>> parse_value("1e-3"), parse_value("[64, 64]"), parse_value("her"), parse_value("null")
        (0.001, [64, 64], 'her', None)
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError:
        return text


def parse_assignments(assignments: Sequence[str], option: str) -> dict[str, Any]:
    """
    :param assignments: texts like ``key=value``, or ``outer.inner=value``
    :param option: what the option is called, for the error
    :return: the values by key, nested where the key has dots

    Example::

        >>> parse_assignments(["gamma=0.95", "policy_kwargs.net_arch=[64, 64]"], "--set")
        {'gamma': 0.95, 'policy_kwargs': {'net_arch': [64, 64]}}
    """
    result: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not all(part.isidentifier() for part in key.split(".")):
            raise ValueError(f"expected key=value after {option}, got {text!r}; write e.g. {option} gamma=0.95")
        *outer, last = key.split(".")
        inner = result
        for part in outer:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise ValueError(f"expected either {part} or keys inside it after {option}, got both; drop one")
        inner[last] = parse_value(value)
    return result


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """
    :param below: some values
    :param above: values that win; dictionaries are merged inside
    :return: both

    Example::

        >>> merged({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}})
        {'a': 1, 'b': {'c': 2, 'd': 3}}
    """
    result = dict(below)
    for key, value in above.items():
        inner = result.get(key)
        result[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result
