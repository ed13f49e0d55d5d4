"""Handle Ctrl-C as a request to stop at a point from which training can be resumed exactly."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any, Protocol


class StopSignal(Protocol):
    """Polled during long work for a request to stop."""

    @property
    def requested(self) -> bool:
        """Whether to stop."""


class InterruptHandler:
    """
    Context manager in which the first SIGINT or SIGTERM sets ``requested`` and the second raises ``KeyboardInterrupt``.

    :param message: printed to stderr at the first signal

    Example::

        >>> with InterruptHandler("Stopping.") as stop:
        ...     stop.requested
        False
    """

    def __init__(self, message: str) -> None:
        self.message, self.requested = message, False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "InterruptHandler":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: Any) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print(f"\n{self.message}", file=sys.stderr, flush=True)


class Interrupted(Exception):
    """Raised when work stops on request: by training after saving a checkpoint, by an evaluation before writing its table."""


@contextmanager
def block_sigint() -> Iterator[None]:
    """Start child processes inside with SIGINT blocked: a terminal sends Ctrl-C to all of them, but the parent stops them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # starting it inside would unblock the signal
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
