"""Steps per second of other code, which runs in a process of its own: ``--beside`` of ``pqn_speed.py``."""

import math
import re
import shlex
import shutil
import subprocess

# The line that a peer prints. If there are several, such as one per iteration, the last counts.
LINE = re.compile(r"^\s*steps_per_second:\s*(\S+)\s*$", re.MULTILINE)
EXAMPLE = "steps_per_second: 123"
ERROR_LINES = 10


class PeerError(ValueError):
    """The command of a peer could not be run, failed, or did not print its steps per second."""


class Peer:
    """
    A command that trains for a while and prints its steps per second as ``steps_per_second: 123``.

    :param command: program and arguments, quoted as in a POSIX shell; no shell runs it
    """

    def __init__(self, command: str) -> None:
        self.command = command
        try:
            self.arguments = shlex.split(command)
        except ValueError as error:
            raise PeerError(f"expected a command, got {command!r} ({error}); close its quotes") from None
        if not self.arguments:
            raise PeerError(f"expected a command, got {command!r}; give a program and its arguments")
        if shutil.which(self.arguments[0]) is None:
            raise PeerError(
                f"expected a program that can be run, got {self.arguments[0]!r}, which was not found; "
                "give its path, or install it"
            )

    def measure(self) -> float:
        """
        Run the command.

        :return: the steps per second that it printed
        """
        try:
            process = subprocess.run(
                self.arguments, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL
            )
        except OSError as error:
            raise PeerError(
                f"expected a program that can be run, got {self.arguments[0]!r} ({error.strerror}); run it alone to fix it"
            ) from None
        if process.returncode != 0:
            raise PeerError(
                f"expected {self.command!r} to exit with code 0, got code {process.returncode}; run it alone to fix it"
                + _last_lines("its errors end with", process.stderr)
            )
        found = LINE.findall(process.stdout)
        if not found:
            raise PeerError(
                f"expected {self.command!r} to print a line such as {EXAMPLE!r}, got none in its standard output; "
                "print it last" + _last_lines("its output ends with", process.stdout)
            )
        return _positive(found[-1], self.command)


def _positive(text: str, command: str) -> float:
    """Convert the number that a command printed."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise PeerError(
            f"expected {command!r} to print a positive number of steps per second, got {text!r}; "
            f"print digits without separators, such as {EXAMPLE!r}"
        )
    return number


def _last_lines(title: str, text: str) -> str:
    """Return a title and the last lines of an output; nothing if the output is empty."""
    lines = text.strip().splitlines()[-ERROR_LINES:]
    return "\n".join([f"\n{title}:", *lines]) if lines else ""
