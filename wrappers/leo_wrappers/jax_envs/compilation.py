"""Setup of JAX: compilation cache and options, a message during long compilations, checks for a shared GPU and for forks."""

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import jax
import jax.numpy as jnp

R = TypeVar("R")

CACHE_ENV_VAR = "LEO_JAX_CACHE"
"""Environment variable with the folder of the compilation cache, or "off" to disable it."""

COMMAND_BUFFERS = "xla_gpu_enable_command_buffer"
"""Option of XLA: the kinds of work that run in CUDA graphs. A value in ``XLA_FLAGS`` takes precedence over ours."""

# XLA's default has neither of the last two. The environments are many small kernels in loops and branches, which the host
# would start one by one.
_IN_COMMAND_BUFFERS = "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,DYNAMIC_SLICE_FUSION,WHILE,CONDITIONAL"
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


@cache
def compiler_options() -> dict[str, str]:
    """
    Return options of XLA for the steps of environments; starts JAX.

    :return: on a GPU, loops and branches in command buffers, if this version of JAX knows the option; else empty
    """
    if jax.default_backend() != "gpu" or COMMAND_BUFFERS in os.environ.get("XLA_FLAGS", ""):
        return {}
    options = {COMMAND_BUFFERS: _IN_COMMAND_BUFFERS}
    try:
        jax.jit(lambda: jnp.zeros(()), compiler_options=options).lower().compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return options


class DeviceFunction(Generic[R]):
    """
    Function compiled by ``jax.jit`` with :func:`compiler_options`, which depend on the device and hence on the first call.

    :param function: a function of JAX arrays
    :param options: keyword arguments of ``jax.jit``
    """

    def __init__(self, function: Callable[..., R], **options: Any) -> None:
        self.function, self.options = function, options
        self.inner = jax.jit(function, **options)

    @cached_property
    def outermost(self) -> Callable[..., R]:
        """The function compiled with the options, which JAX does not allow inside another compiled function."""
        compiler = compiler_options()
        return jax.jit(self.function, compiler_options=compiler, **self.options) if compiler else self.inner

    def __call__(self, *args: Any) -> R:
        """Call the function, compiled alone or as a part of the function that is being compiled."""
        compiled = self.outermost
        if compiled is not self.inner and any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(args)):
            compiled = self.inner
        return compiled(*args)


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
