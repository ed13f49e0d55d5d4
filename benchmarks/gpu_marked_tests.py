"""Runs the tests marked ``gpu``: a part of ``gpu_speed.py``."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def run_gpu_tests(path: Path, log: Path, timeout: float) -> dict[str, Any]:
    """
    Run the tests of a file that are marked ``gpu``, in a process of their own: some errors leave CUDA unusable.

    :param path: the file
    :param log: file to append their output to
    :param timeout: seconds
    :return: the exit code and the last line
    """
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", "--tb=short", str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "wrappers"), *sys.path])}
    with log.open("a") as output:
        done = subprocess.run(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, timeout=timeout, env=environment)
    lines = log.read_text().strip().splitlines()
    return {"exit_code": done.returncode, "summary": lines[-1] if lines else ""}


def has_gpu_tests(path: Path) -> bool:
    """
    Check whether a file has tests marked ``gpu``.

    :param path: the file
    :return: True if it has
    """
    text = path.read_text(encoding="utf-8")
    return "mark.gpu" in text or "tests.devices" in text
