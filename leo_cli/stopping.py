"""Ctrl-C, as a request: training stops where it can be taken up again exactly."""

import signal
import sys
from types import FrameType
from typing import Any

EXIT_INTERRUPTED = 130


class StopRequest:
    """
    While it is open, the first Ctrl-C (or SIGTERM) only takes note; the second stops at once.

    Example::

        >>> with StopRequest() as stop:
        ...     stop.requested
        False
    """

    def __init__(self) -> None:
        self.requested = False
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
        print("\nStopping; a checkpoint will be written. Press Ctrl-C again to stop without one.", file=sys.stderr, flush=True)


class Stopped(Exception):
    """Training ended on request, after its checkpoint was written."""
