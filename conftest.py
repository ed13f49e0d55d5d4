"""Settings and fixtures of all tests and doctests."""

import ctypes
import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

# Set before NumPy and PyTorch are imported: the tests already run one process per core.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# MuJoCo reads this at import; without it rendering needs a window, which test machines lack.
if sys.platform == "linux":
    os.environ.setdefault("MUJOCO_GL", "egl")

# Tests of JAX environments mostly compile: cache compiled functions between runs.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path.home() / ".cache" / "leo" / "jax-tests"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

# The key that marks checkpoints as the user's own stays out of their configuration.
os.environ["XDG_CONFIG_HOME"] = str(Path(tempfile.gettempdir()) / f"leo-tests-{os.getuid() if hasattr(os, 'getuid') else ''}")

# Modules that import an optional library at once have doctests only with it.
OPTIONAL = {"leo_envs/atari": "ale_py", "leo_envs/minigrid": "minigrid", "leo_envs/xland": "xminigrid"}
collect_ignore = [folder for folder, library in OPTIONAL.items() if not find_spec(library)]

import gymnasium  # noqa: E402
import gymnasium.wrappers.common  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture(autouse=True)
def restore_time_limit() -> Iterator[None]:
    """Restore Gymnasium's TimeLimit, which importing rl_zoo3 replaces for the whole process."""
    modules = (gymnasium.wrappers, gymnasium.wrappers.common)
    originals = [module.TimeLimit for module in modules]
    yield
    for module, time_limit in zip(modules, originals, strict=True):
        module.TimeLimit = time_limit


@pytest.fixture(scope="module", autouse=True)
def release_compiled_functions() -> Iterator[None]:
    """
    Release JAX's compiled functions after a module that leaves the process above 1 GB: those of all modules take gigabytes.

    Later modules read what they need from the cache on the disk. The C library keeps freed memory unless it is trimmed.
    """
    yield
    if "jax" in sys.modules and sys.platform == "linux" and resident_bytes() > 1e9:
        sys.modules["jax"].clear_caches()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)


def resident_bytes() -> int:
    """Memory of this process on Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
