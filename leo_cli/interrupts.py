"""Ctrl-C, as a request: training stops where it can be taken up again exactly."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any, Protocol

EXIT_INTERRUPTED = 130


class Stop(Protocol):
    """Something that is asked, now and then, whether to go on."""

    @property
    def requested(self) -> bool:
        """Whether to stop."""


class StopRequest:
    """
    While it is open, the first Ctrl-C (or SIGTERM) only takes note; the second stops at once.

    :param note: what to say to the first

    Example::

        >>> with StopRequest("Stopping.") as stop:
        ...     stop.requested
        False
    """

    def __init__(self, note: str) -> None:
        self.note, self.requested = note, False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print(f"\n{self.note}", file=sys.stderr, flush=True)


class Stopped(Exception):
    """Work ended on request: a training after its checkpoint was written, an evaluation before its table was."""


@contextmanager
def deaf_processes() -> Iterator[None]:
    """Processes that are started inside do not hear Ctrl-C, which a terminal sends to all: who started them stops them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # whose start would make the signal heard again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
