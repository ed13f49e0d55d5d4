"""Read settings from YAML files and from ``key=value`` arguments, and merge them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """YAML loader that reads ``1e-3`` as a float; YAML 1.1 accepts only ``1.0e-3``."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)$"), list("-+.0123456789")
)


def read_yaml(path: Path) -> Any:
    """
    Load a YAML file.

    :param path: the file
    :return: its content
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise FileNotFoundError(f"expected a YAML file, got {path}, which does not exist; check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"expected YAML in {path}, got a syntax error: {error}; fix the file") from error


def parse_value(text: str) -> Any:
    """
    Parse a value in YAML syntax.

    :param text: the value
    :return: the parsed value, or the text itself if it is not YAML

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
    Parse ``key=value`` arguments.

    :param assignments: texts such as ``key=value`` or ``outer.inner=value``
    :param option: name of the command-line option, for error messages
    :return: values by key; dots in a key become nested dictionaries

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


def merge(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """
    Merge two dictionaries recursively.

    :param base: the defaults
    :param overrides: values that take precedence
    :return: a new dictionary

    Example::

        >>> merge({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}})
        {'a': 1, 'b': {'c': 2, 'd': 3}}
    """
    result = dict(base)
    for key, value in overrides.items():
        inner = result.get(key)
        result[key] = merge(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return result
