"""The command line: which verb, and what becomes of its errors."""

import os
import sys
from collections.abc import Sequence
from ctypes.util import find_library

_EXTRA = 'the leo command needs tyro, rich, PyYAML and the agents; install them with: pip install "leo-rl[cli]"'

_DRAWING = ("play", "report", "video")

EXIT_FAILED, EXIT_WRONG_USE, EXIT_INTERRUPTED = 1, 2, 130

MISTAKES = (ValueError, TypeError, OSError, ImportError, MemoryError, FloatingPointError)
"""Errors whose message tells a person enough."""


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Runs the ``leo`` command.

    :param arguments: of the command line, without ``leo``
    :return: the exit code: 0, 1 where a check failed, 2 after a mistake, 130 when interrupted
    """
    try:
        import tyro

        from leo_cli.commands.table import VERBS
        from leo_cli.suggestions import unknown
    except ImportError as error:
        print(f"{_EXTRA} ({error})", file=sys.stderr)
        return EXIT_WRONG_USE
    given = list(sys.argv[1:] if arguments is None else arguments)
    # So that my_package:MyEnv-v0 is found where the command is typed; what is installed comes first.
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    given, passed_on = _split_bench(given)
    if given and not given[0].startswith("-") and given[0] not in VERBS:
        print(f"leo: {unknown('a verb', given[0], VERBS)}", file=sys.stderr)
        return EXIT_WRONG_USE
    if given[:1] and given[0] in _DRAWING:
        _draw_without_a_screen()
    verb = tyro.extras.subcommand_cli_from_dict(
        VERBS, prog="leo", description=_DESCRIPTION, args=given, config=(tyro.conf.FlagCreatePairsOff,)
    )
    try:
        return int(verb.run(*passed_on))
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has had enough; nor must Python complain when it closes the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MISTAKES as error:
        if os.environ.get("LEO_TRACEBACK"):
            raise
        print(f"leo {given[0]}: {error}", file=sys.stderr)
        return EXIT_WRONG_USE


_DESCRIPTION = (
    "Agents that can be sent to any goal. A first walk: leo train leodqn GridWorld; leo report runs/leodqn-GridWorld-v0; "
    "leo play runs/leodqn-GridWorld-v0. Each verb has its own --help. LEO_TRACEBACK=1 shows where an error came from."
)


def _draw_without_a_screen() -> None:
    """MuJoCo, when it is imported, looks for a screen unless it is told otherwise."""
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform == "linux" and not screen and "MUJOCO_GL" not in os.environ and find_library("EGL"):
        os.environ["MUJOCO_GL"] = "egl"


def _split_bench(given: list[str]) -> tuple[list[str], tuple[list[str], ...]]:
    """What follows a benchmark's name is for its script."""
    if given[:1] == ["bench"] and len(given) > 1 and not given[1].startswith("-"):
        return given[:2], (given[2:],)
    return given, ()
