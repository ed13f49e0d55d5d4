"""Exit codes of the ``leo`` command, and the exceptions it reports without a traceback."""

import os

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

_EXPECTED = (ValueError, TypeError, OSError, ImportError, MemoryError, FloatingPointError)


def message_suffices(error: Exception) -> bool:
    """
    Return whether to report an exception by its message alone.

    :param error: the exception
    :return: False for an exception that points to a bug, or when ``LEO_TRACEBACK`` is set
    """
    # Imported only now: the commands that need no environment start faster.
    from gymnasium.error import DependencyNotInstalled

    return isinstance(error, (*_EXPECTED, DependencyNotInstalled)) and not os.environ.get("LEO_TRACEBACK")
