"""Where a test's environment comes from: made as often as needed, and written out as source code."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from leo_wrappers.checks.recording import literal

EnvLike = str | Callable[[], gym.Env[Any, Any]]
"""An environment's id, as ``gymnasium.make`` takes it, or a function that makes one."""


@dataclass(frozen=True)
class EnvSource:
    """
    :param env: an id or a function
    """

    env: EnvLike

    def __post_init__(self) -> None:
        if not isinstance(self.env, str) and not callable(self.env):
            raise TypeError(
                f"expected an environment id or a function that makes an environment, got {type(self.env).__name__}; "
                "every test needs an environment of its own: pass lambda: MyEnv()"
            )

    @property
    def name(self) -> str:
        """What to call it in a test's name."""
        if isinstance(self.env, str):
            return self.env
        function = self.env.func if isinstance(self.env, functools.partial) else self.env
        return str(getattr(function, "__name__", type(function).__name__))

    def make(self) -> gym.Env[Any, Any]:
        """A new environment."""
        return gym.make(self.env) if isinstance(self.env, str) else self.env()

    def code(self) -> tuple[list[str], str]:
        """The import lines and the expression that make the environment."""
        if isinstance(self.env, str):
            return ["import gymnasium as gym"], f"gym.make({self.env!r})"
        if isinstance(self.env, functools.partial):
            lines, function = _reference(self.env.func)
            arguments = [literal(value) for value in self.env.args]
            arguments += [f"{key}={literal(value)}" for key, value in self.env.keywords.items()]
            return lines, f"{function}({', '.join(arguments)})"
        lines, function = _reference(self.env)
        return lines, f"{function}()"


def _reference(function: Any) -> tuple[list[str], str]:
    """How to import a function or class; one without an importable name is called ``env_fn``, for the reader to fill in."""
    path = getattr(function, "__qualname__", "<")
    if "<" in path:
        return ["# env_fn is the function that was tested"], "env_fn"
    top = path.split(".")[0]
    return [f"from {function.__module__} import {top}"], path
