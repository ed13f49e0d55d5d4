"""What every test shares, doctests included."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

# Before NumPy and PyTorch start their threads: the tests run in as many processes as there are cores already.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# MuJoCo draws into a window unless told otherwise before it is imported; machines that test have none.
if sys.platform == "linux":
    os.environ.setdefault("MUJOCO_GL", "egl")

# Compiling is most of what the tests of JAX environments do: what one run compiled serves the next.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path.home() / ".cache" / "leo" / "jax-tests"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

import gymnasium  # noqa: E402
import gymnasium.wrappers.common  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture(autouse=True)
def gymnasium_stays_as_it_is() -> Iterator[None]:
    """The zoo puts its own TimeLimit in the place of Gymnasium's when it is imported, for the whole process."""
    places = (gymnasium.wrappers, gymnasium.wrappers.common)
    before = [place.TimeLimit for place in places]
    yield
    for place, time_limit in zip(places, before, strict=True):
        place.TimeLimit = time_limit
