"""Setup of JAX: compilation cache, a message during long compilations, and checks for a shared GPU and for forks."""

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import jax

CACHE_ENV_VAR = "LEO_JAX_CACHE"
"""Environment variable with the folder of the compilation cache, or "off" to disable it."""

_MESSAGE_AFTER_SECONDS = 2.0
_jax_process_id: int | None = None


def cache_folder() -> Path | None:
    """
    Return the folder of the compilation cache: the value of ``LEO_JAX_CACHE``, else a folder in the user's cache folder.

    :return: the folder, or None if the cache is disabled
    """
    value = os.environ.get(CACHE_ENV_VAR)
    if value is not None:
        return None if value.lower() in ("", "0", "off", "no", "false") else Path(value)
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "leo" / "jax"


@cache
def prepare_jax() -> None:
    """Enable the compilation cache unless the user configured one, and warn about a shared GPU; once per process."""
    folder = cache_folder()
    if folder is not None and _configured_folder() is None:
        _configure("jax_compilation_cache_dir", str(folder))
        # Resets consist of many small functions, whose compilation adds up.
        _configure("jax_persistent_cache_min_compile_time_secs", 0.1)
    if _preallocates_shared_gpu():
        warnings.warn(
            "JAX preallocates three quarters of the memory of a GPU that PyTorch can use too. Before the first import of jax, "
            'set os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false".',
            stacklevel=3,
        )


def check_not_forked() -> None:
    """Raise an error in a process forked after JAX started, in which JAX deadlocks because threads are not forked."""
    global _jax_process_id
    if _jax_process_id is None:
        _jax_process_id = os.getpid()
    if _jax_process_id != os.getpid():
        raise RuntimeError(
            "expected to run in the process that started JAX, got a fork of it, in which JAX hangs; step environments "
            'in one process (make_vec, JaxVecEnv), or spawn processes: SubprocVecEnv(..., start_method="spawn")'
        )


@contextmanager
def compiling(what: str) -> Iterator[None]:
    """
    Context manager that prints a message if a compilation takes more than two seconds.

    :param what: what is compiled, for the message
    """
    folder = _configured_folder()
    cached = f"cached in {folder}" if folder else "not cached"
    message = f"Compiling {what} (about a minute the first time; {cached} for later runs) ..."
    timer = threading.Timer(_MESSAGE_AFTER_SECONDS, lambda: print(message, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _configured_folder() -> str | None:
    folder: str | None = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    return folder


def _configure(name: str, value: str | float) -> None:
    jax.config.update(name, value)  # type: ignore[no-untyped-call]


def _preallocates_shared_gpu() -> bool:
    """Return whether JAX will preallocate most of the memory of a GPU that PyTorch can use too."""
    preallocates = os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE", "true").lower() not in ("false", "0")
    fraction = "XLA_PYTHON_CLIENT_MEM_FRACTION" in os.environ or "XLA_CLIENT_MEM_FRACTION" in os.environ
    torch = sys.modules.get("torch")
    return preallocates and not fraction and torch is not None and torch.cuda.is_available() and jax.default_backend() == "gpu"
