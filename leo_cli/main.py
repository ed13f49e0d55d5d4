"""Entry point of the ``leo`` command: parse the command line, run the subcommand, report errors."""

import os
import sys
from collections.abc import Sequence
from ctypes.util import find_library

from leo_cli.errors import EXIT_INTERRUPTED, EXIT_USAGE, message_suffices

_EXTRA = 'the leo command needs tyro, rich, PyYAML and the agents; install them with: pip install "leo-rl[cli]"'
_DESCRIPTION = (
    "Train and evaluate agents that can be commanded to reach any goal. To start: leo train leodqn GridWorld; "
    "leo report runs/leodqn-GridWorld-v0; leo play runs/leodqn-GridWorld-v0. Each command has its own --help. "
    "LEO_TRACEBACK=1 prints the traceback of an error."
)
_RENDERING = ("play", "report", "serve", "video")


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the ``leo`` command.

    :param arguments: command-line arguments without ``leo``; those of the process by default
    :return: the exit code: 0, 1 if a check failed, 2 after an error, 130 when interrupted
    """
    try:
        import tyro

        from leo_cli.commands.table import COMMANDS
        from leo_cli.suggestions import unknown
    except ImportError as error:
        print(f"{_EXTRA} ({error})", file=sys.stderr)
        return EXIT_USAGE
    # Read when JAX starts: it would take most of the memory of a GPU that PyTorch uses too.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    args = list(sys.argv[1:] if arguments is None else arguments)
    args, benchmark_args = _split_benchmark_args(args)
    if args and not args[0].startswith("-") and args[0] not in COMMANDS:
        print(f"leo: {unknown('a command', args[0], COMMANDS)}", file=sys.stderr)
        return EXIT_USAGE
    if args[:1] and args[0] in _RENDERING:
        _use_egl_without_display()
    command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="leo", description=_DESCRIPTION, args=args, config=(tyro.conf.FlagCreatePairsOff,)
    )
    try:
        return int(command.run(*benchmark_args))
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has closed it. Redirecting stdout avoids a second error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not message_suffices(error):
            raise
        print(f"leo {args[0]}: {error}", file=sys.stderr)
        return EXIT_USAGE


def _use_egl_without_display() -> None:
    """Let MuJoCo, which reads ``MUJOCO_GL`` when it is imported, render through EGL on a Linux machine without a display."""
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform == "linux" and not display and "MUJOCO_GL" not in os.environ and find_library("EGL"):
        os.environ["MUJOCO_GL"] = "egl"


def _split_benchmark_args(args: list[str]) -> tuple[list[str], tuple[list[str], ...]]:
    """Separate the arguments after a benchmark's name, which are passed to its script."""
    if args[:1] == ["bench"] and len(args) > 1 and not args[1].startswith("-"):
        return args[:2], (args[2:],)
    return args, ()
