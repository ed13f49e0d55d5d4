"""JAX's start-up as users meet it: the compilation cache, a word while compiling, trouble with PyTorch and with forks."""

import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import jax

CACHE_SWITCH = "LEO_JAX_CACHE"
"""The environment variable that names another folder for compiled functions, or switches the cache off with "off"."""

_NOTICE_AFTER_SECONDS = 2.0
_process_that_started_jax: int | None = None


def cache_folder() -> Path | None:
    """
    Where compiled functions are kept between runs: what ``LEO_JAX_CACHE`` says, else the user's cache folder.

    :return: the folder, or None where the cache is switched off
    """
    asked = os.environ.get(CACHE_SWITCH)
    if asked is not None:
        return None if asked.lower() in ("", "0", "off", "no", "false") else Path(asked)
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "leo" / "jax"


@cache
def prepare_jax() -> None:
    """Once in a process: turn the compilation cache on where the user has not chosen one, and warn of trouble to come."""
    folder = cache_folder()
    if folder is not None and _configured_folder() is None:
        _configure("jax_compilation_cache_dir", str(folder))
        # Resetting worlds takes many small functions; together they are what one waits for.
        _configure("jax_persistent_cache_min_compile_time_secs", 0.1)
    if _takes_all_gpu_memory():
        warnings.warn(
            "JAX reserves three quarters of the GPU's memory when it starts, and PyTorch is to use the same GPU. Before the "
            'first import of jax, set os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false".',
            stacklevel=3,
        )


def check_not_forked() -> None:
    """Refuse to go on in a child forked after JAX had started: it would wait forever for threads that are not there."""
    global _process_that_started_jax
    if _process_that_started_jax is None:
        _process_that_started_jax = os.getpid()
    if _process_that_started_jax != os.getpid():
        raise RuntimeError(
            "expected to run in the process that started JAX, got a fork of it, in which JAX hangs; step many environments in "
            'one process (make_vec, JaxVecEnv), or start processes afresh: SubprocVecEnv(..., start_method="spawn")'
        )


@contextmanager
def compiling(what: str) -> Iterator[None]:
    """
    Tell of compiling where it takes so long that one would wonder.

    :param what: what is being compiled
    """
    folder = _configured_folder()
    kept = f"kept in {folder}" if folder else "not kept"
    message = f"Compiling {what} (about a minute the first time; {kept} for later runs) ..."
    timer = threading.Timer(_NOTICE_AFTER_SECONDS, lambda: print(message, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _configured_folder() -> str | None:
    """JAX's own setting."""
    folder: str | None = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    return folder


def _configure(name: str, value: str | float) -> None:
    jax.config.update(name, value)  # type: ignore[no-untyped-call]


def _takes_all_gpu_memory() -> bool:
    """Whether JAX will reserve most of a GPU that torch has in sight too."""
    chosen = os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE", "true").lower() not in ("false", "0")
    fraction = "XLA_PYTHON_CLIENT_MEM_FRACTION" in os.environ or "XLA_CLIENT_MEM_FRACTION" in os.environ
    torch = sys.modules.get("torch")
    return chosen and not fraction and torch is not None and torch.cuda.is_available() and jax.default_backend() == "gpu"
