"""Replay a failing list of calls on a new environment, shrink it, and write it as a program."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from leo_wrappers.checks.checker import ContractChecker
from leo_wrappers.checks.episodes import Oracle
from leo_wrappers.checks.errors import ContractError
from leo_wrappers.checks.recording import Call
from leo_wrappers.testing.env_source import EnvSource

# Limits the time for environments that are slow to create.
MAX_TRIALS = 1000


@dataclass(frozen=True)
class CheckerSetup:
    """
    The environment under test and the options of its checker.

    :param source: creates the environment
    :param observation_determines_mask: see :class:`~leo_wrappers.checks.ContractChecker`
    :param oracle: see :class:`~leo_wrappers.checks.ContractChecker`
    """

    source: EnvSource
    observation_determines_mask: bool = True
    oracle: Oracle | None = None

    def wrap(self, env: gym.Env[Any, Any]) -> ContractChecker:
        """Wrap an environment in its checker."""
        return ContractChecker(
            env, observation_determines_mask=self.observation_determines_mask, oracle=self.oracle, record=True
        )

    def program(self, calls: Sequence[Call], error: str) -> str:
        """
        Write calls as a program.

        :param calls: the calls
        :param error: the name of the error that the last call raises
        """
        imports, make = self.source.code()
        code = [call.code() for call in calls]
        options = "" if self.observation_determines_mask else ", observation_determines_mask=False"
        options += ", oracle=oracle" if self.oracle is not None else ""
        options += ", record=True" if any(call.method == "replay" for call in calls) else ""
        if any("np." in text for text in (make, *code)):
            imports = ["import numpy as np", *imports]
        lines = [
            *imports,
            "from leo_wrappers.checks import ContractChecker",
            "",
            f"env = ContractChecker({make}{options})",
            *code,
        ]
        return "\n".join([*lines[:-1], f"{lines[-1]}  # raises {error}"])

    def attach_program(self, error: Exception, calls: Sequence[Call]) -> None:
        """
        Add the program that raises an error to the error.

        :param error: the error
        :param calls: the calls, the last of which raised it
        """
        text = self.program(calls, type(error).__name__)
        if isinstance(error, ContractError):
            error.calls, error.reproducer = tuple(call.code() for call in calls), text
        else:
            error.add_note(f"To reproduce:\n\n{text}")

    def play(self, env: gym.Env[Any, Any], calls: Sequence[Call]) -> Exception | None:
        """
        Make the calls on an environment.

        :param env: the environment
        :param calls: the calls
        :return: the error that the last call raised; None if it raised none, or if an earlier call raised one
        """
        try:
            checker = self.wrap(env)
        except Exception as error:
            return None if calls else error
        for call in calls:
            try:
                if call.method == "step" and checker.needs_reset:
                    return None
                getattr(checker, call.method)(**call.arguments)
            except Exception as error:
                return error if call is calls[-1] else None
        return None


def shrink_calls(
    calls: list[Call], error: Exception, play: Callable[[list[Call]], Exception | None]
) -> tuple[list[Call], Exception]:
    """
    Remove successive calls, as many as possible, such that the last one still raises the same error at the same line.

    Hypothesis shrinks the rules that made the calls, which does not always give the fewest calls.

    :param calls: calls, the last of which raises the error; the first one, the seeded reset, is kept
    :param error: the error
    :param play: makes calls on a new environment and returns the error that the last one raises
    :return: the remaining calls and their error
    """
    location, size, trials = _raised_at(error), len(calls) - 2, 0
    while size >= 1:
        for start in range(1, len(calls) - size):
            shorter = calls[:start] + calls[start + size :]
            trials += 1
            again = play(shorter) if trials <= MAX_TRIALS else None
            if again is not None and _raised_at(again) == location:
                calls, error, size = shorter, again, min(size, len(shorter) - 2)
                break
        else:
            size -= 1
    return calls, error


def _raised_at(error: Exception) -> tuple[type, str, int]:
    """Return the error's type, and the file and line that raised it."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return type(error), "", 0
    return type(error), traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
