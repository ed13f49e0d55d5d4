"""The error that the checkers raise, and the position in a run that its message reports."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from leo_wrappers.goal_set import BoolArray


class ContractError(ValueError):
    """
    Raised when an environment breaks the multi-goal contract.

    The message reports where in the run it happened, what was expected, what was returned, and how to fix it.

    :param message: the whole message
    :param goals: the names of the goals concerned, where the error is about particular goals
    :param step: the number of ``step`` calls since the last seeded reset; None outside of a run
    :param seed: the seed of that reset
    """

    def __init__(self, message: str, *, goals: Sequence[str] = (), step: int | None = None, seed: int | None = None) -> None:
        super().__init__(message)
        self.goals = tuple(goals)
        self.step = step
        self.seed = seed
        self.calls: tuple[str, ...] = ()
        """The calls that raise this error, as source code; set by the state machine."""
        self.reproducer = ""
        """A program that raises this error; set by the state machine."""

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n\nTo reproduce:\n\n{self.reproducer}" if self.reproducer else message


@dataclass
class RunPosition:
    """
    Position in a run, counted from its last seeded reset.

    :param seed: the seed of that reset
    :param episode: number of resets, including that one
    :param step: number of steps
    :param action_source: a sentence on how to generate the actions, appended to error messages
    :param is_vector: whether the run is that of a vector environment, where episodes are not counted
    """

    seed: int | None = None
    episode: int = 0
    step: int = 0
    action_source: str = ""
    is_vector: bool = False
    at_reset: bool = True

    def count_reset(self, seed: int | None) -> None:
        """Advance to a reset."""
        if seed is not None:
            self.seed, self.episode, self.step = seed, 0, 0
        self.episode += 1
        self.at_reset = True

    def count_step(self) -> None:
        """Advance by one step."""
        self.step += 1
        self.at_reset = False

    def __str__(self) -> str:
        run = "an unseeded run" if self.seed is None else f"the run with seed {self.seed}"
        if self.is_vector:
            return f"the reset that begins {run}" if self.at_reset else f"step {self.step} of {run}"
        if self.at_reset:
            return f"the reset that begins episode {self.episode} (after step {self.step}) of {run}"
        return f"step {self.step} (episode {self.episode}) of {run}"

    def error(self, expected: str, got: str, remedy: str, goals: Sequence[str] = ()) -> ContractError:
        """
        Build the error for this position; the caller raises it.

        :param expected: what the contract requires
        :param got: what the environment returned
        :param remedy: how to fix it
        :param goals: the names of the goals concerned
        """
        message = f"At {self}: expected {expected}, got {got}; {remedy}."
        if goals:
            message += f" Goals concerned: {quote(goals)}."
        if self.action_source:
            message += f" {self.action_source}"
        return ContractError(message, goals=goals, step=self.step, seed=self.seed)

    def mask_error(
        self, names: Sequence[str], wanted: BoolArray, mask: BoolArray, expected: str, remedy: str, got: str = "another mask"
    ) -> ContractError:
        """
        Build the error for a mask that differs from the expected one.

        :param names: the goal names
        :param wanted: the expected mask, bool ``[G]``
        :param mask: the mask that the environment returned, bool ``[G]``
        :param expected: what the expected mask is
        :param remedy: how to fix it
        :param got: what the returned mask is
        """
        return self.error(
            f"{expected} (achieved: {quote(select_names(names, wanted))})",
            f"{got} (achieved: {quote(select_names(names, mask))})",
            remedy,
            select_names(names, wanted != mask),
        )


def quote(names: Iterable[str], limit: int = 6) -> str:
    """
    Format goal names for a message: the first few, and how many more there are.

    :param names: the names
    :param limit: how many names to write out

    Example::

        >>> quote(["a", "b", "c"], limit=2)
        "'a', 'b' and 1 more"
    """
    names = list(names)
    text = ", ".join(repr(name) for name in names[:limit]) or "none"
    return text if len(names) <= limit else f"{text} and {len(names) - limit} more"


def select_names(names: Sequence[str], mask: BoolArray) -> list[str]:
    """
    Return the names of the goals that are True in a mask.

    :param names: the goal names
    :param mask: bool ``[G]``
    """
    return [names[goal] for goal in np.flatnonzero(mask).tolist()]
