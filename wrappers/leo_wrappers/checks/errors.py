"""What the checkers raise, and how they say where in a run it happened."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from leo_wrappers.goal_set import BoolArray


class ContractError(ValueError):
    """
    An environment broke the multi-goal contract.

    The message says where in the run it happened, what was expected, what came, and what to do.

    :param message: the whole message
    :param goals: the names of the goals concerned, where it is about some goals and not others
    :param step: the number of ``step`` calls since the last seeded reset, None where no run was under way
    :param seed: the seed of that reset
    """

    def __init__(self, message: str, *, goals: Sequence[str] = (), step: int | None = None, seed: int | None = None) -> None:
        super().__init__(message)
        self.goals = tuple(goals)
        self.step = step
        self.seed = seed
        self.calls: tuple[str, ...] = ()
        """The calls that lead here, as source code, where a test has shrunk them."""
        self.reproducer = ""
        """A program that raises this error, where a test has found a short one."""

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\n\nTo reproduce:\n\n{self.reproducer}" if self.reproducer else message


@dataclass
class Clock:
    """
    Where a run is, counted from its last seeded reset.

    :param seed: what that reset was seeded with
    :param episode: how many resets there have been, that one included
    :param step: how many steps there have been
    :param origin: where the actions come from, a sentence for the error message
    :param batched: whether the run is that of a vector environment, whose episodes are nobody's in particular
    """

    seed: int | None = None
    episode: int = 0
    step: int = 0
    origin: str = ""
    batched: bool = False
    at_reset: bool = True

    def tick_reset(self, seed: int | None) -> None:
        """Counts a reset."""
        if seed is not None:
            self.seed, self.episode, self.step = seed, 0, 0
        self.episode += 1
        self.at_reset = True

    def tick_step(self) -> None:
        """Counts a step."""
        self.step += 1
        self.at_reset = False

    def __str__(self) -> str:
        run = "an unseeded run" if self.seed is None else f"the run with seed {self.seed}"
        if self.batched:
            return f"the reset that begins {run}" if self.at_reset else f"step {self.step} of {run}"
        if self.at_reset:
            return f"the reset that begins episode {self.episode} (after step {self.step}) of {run}"
        return f"step {self.step} (episode {self.episode}) of {run}"

    def error(self, expected: str, got: str, remedy: str, goals: Sequence[str] = ()) -> ContractError:
        """
        The error for what is wrong at this moment, to be raised by the caller.

        :param expected: what the contract asks for
        :param got: what came
        :param remedy: what to do about it
        :param goals: the names of the goals concerned
        """
        message = f"At {self}: expected {expected}, got {got}; {remedy}."
        if goals:
            message += f" Goals concerned: {quote(goals)}."
        if self.origin:
            message += f" {self.origin}"
        return ContractError(message, goals=goals, step=self.step, seed=self.seed)


def quote(names: Iterable[str], limit: int = 6) -> str:
    """
    Goal names for a message: the first few, and how many more.

    :param names: the names
    :param limit: how many to write out

    Example::

        >>> quote(["a", "b", "c"], limit=2)
        "'a', 'b' and 1 more"
    """
    names = list(names)
    text = ", ".join(repr(name) for name in names[:limit]) or "none"
    return text if len(names) <= limit else f"{text} and {len(names) - limit} more"


def select_names(names: Sequence[str], mask: BoolArray) -> list[str]:
    """
    The names of the goals that are true in a mask.

    :param names: all names
    :param mask: bool ``[G]``
    """
    return [names[goal] for goal in np.flatnonzero(mask).tolist()]
