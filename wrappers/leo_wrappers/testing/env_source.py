"""The environment under test: created as often as needed, and written as source code."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from leo_wrappers.checks.recording import to_source

EnvLike = str | Callable[[], gym.Env[Any, Any]]
"""An environment id for ``gymnasium.make``, or a function that creates an environment."""


@dataclass(frozen=True)
class EnvSource:
    """
    Creates copies of an environment.

    :param env: an environment id or a function
    """

    env: EnvLike

    def __post_init__(self) -> None:
        if not isinstance(self.env, str) and not callable(self.env):
            raise TypeError(
                f"expected an environment id or a function that creates an environment, got {type(self.env).__name__}; "
                "each test needs its own environment: pass lambda: MyEnv()"
            )

    @property
    def name(self) -> str:
        """The environment's name in test names."""
        if isinstance(self.env, str):
            return self.env
        function = self.env.func if isinstance(self.env, functools.partial) else self.env
        return str(getattr(function, "__name__", type(function).__name__))

    def make(self) -> gym.Env[Any, Any]:
        """Create an environment."""
        return gym.make(self.env) if isinstance(self.env, str) else self.env()

    def code(self) -> tuple[list[str], str]:
        """Return the import lines and the expression that create the environment."""
        if isinstance(self.env, str):
            return ["import gymnasium as gym"], f"gym.make({self.env!r})"
        if isinstance(self.env, functools.partial):
            lines, function = _import_of(self.env.func)
            arguments = [to_source(value) for value in self.env.args]
            arguments += [f"{key}={to_source(value)}" for key, value in self.env.keywords.items()]
            return lines, f"{function}({', '.join(arguments)})"
        lines, function = _import_of(self.env)
        return lines, f"{function}()"


def _import_of(function: Any) -> tuple[list[str], str]:
    """Return the import and the name of a function or class; lambdas and local ones are called ``env_fn``."""
    path = getattr(function, "__qualname__", "<")
    if "<" in path:
        return ["# env_fn is the function that was tested"], "env_fn"
    top = path.split(".")[0]
    return [f"from {function.__module__} import {top}"], path
