"""A run of calls against a fresh environment: made again, cut down to what matters, and written out as a program."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from leo_wrappers.checks.checker import ContractChecker, Oracle
from leo_wrappers.checks.errors import ContractError
from leo_wrappers.checks.recording import Call
from leo_wrappers.testing.env_source import EnvSource

# Cutting down stops after so many runs, in case making the environment takes long.
TRIALS = 1000


@dataclass(frozen=True)
class Setup:
    """
    How a test watches its environment.

    :param source: makes the environment
    :param observation_determines_mask: see :class:`~leo_wrappers.checks.ContractChecker`
    :param oracle: see :class:`~leo_wrappers.checks.ContractChecker`
    """

    source: EnvSource
    observation_determines_mask: bool = True
    oracle: Oracle | None = None

    def watch(self, env: gym.Env[Any, Any]) -> ContractChecker:
        """The environment with the checker around it."""
        return ContractChecker(
            env, observation_determines_mask=self.observation_determines_mask, oracle=self.oracle, record=True
        )

    def program(self, calls: Sequence[Call], error: str) -> str:
        """
        The calls as a program to copy, paste and run.

        :param calls: what to call
        :param error: what the last call raises
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

    def explain(self, error: Exception, calls: Sequence[Call]) -> None:
        """
        Puts the calls into an error.

        :param error: what the last of them raised
        :param calls: the calls
        """
        text = self.program(calls, type(error).__name__)
        if isinstance(error, ContractError):
            error.calls, error.reproducer = tuple(call.code() for call in calls), text
        else:
            error.add_note(f"To reproduce:\n\n{text}")

    def play(self, env: gym.Env[Any, Any], calls: Sequence[Call]) -> Exception | None:
        """
        Makes the calls.

        :param env: the environment to make them on
        :param calls: the calls
        :return: what the last one raised; None if nothing, or if another one did
        """
        try:
            checker = self.watch(env)
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


def cut_down(
    calls: list[Call], error: Exception, play: Callable[[list[Call]], Exception | None]
) -> tuple[list[Call], Exception]:
    """
    The shortest list that leaving out calls in a row leads to, and that still raises the same error in the same place.

    Hypothesis shrinks the rules that made the calls, and now and then stops short of the fewest calls.

    :param calls: calls, the last of which raises the error; the first stays, being the seeded reset
    :param error: what it raises
    :param play: makes calls on a fresh environment and returns what the last one raises
    """
    place, size, trials = _place(error), len(calls) - 2, 0
    while size >= 1:
        for start in range(1, len(calls) - size):
            shorter = calls[:start] + calls[start + size :]
            trials += 1
            again = play(shorter) if trials <= TRIALS else None
            if again is not None and _place(again) == place:
                calls, error, size = shorter, again, min(size, len(shorter) - 2)
                break
        else:
            size -= 1
    return calls, error


def _place(error: Exception) -> tuple[type, str, int]:
    """What kind of error, and where it was raised."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return type(error), "", 0
    return type(error), traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
