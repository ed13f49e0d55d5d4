"""Record the command line, package versions and git state of a run."""

import datetime
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import leo_wrappers

PACKAGES = "numpy gymnasium torch stable-baselines3 sb3-contrib jax craftax mujoco gymnasium-robotics matplotlib tyro".split()


def command_line() -> str:
    """Return the current command line, quoted for a shell, such as ``leo train leodqn GridWorld``."""
    return shlex.join(["leo", *sys.argv[1:]])


def collect_provenance() -> dict[str, Any]:
    """Return the date, machine, package versions and git state as values that can be written as YAML."""
    versions = {"leo-rl": leo_wrappers.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "folder": os.getcwd(),
        "versions": versions,
        "git": {"here": _git_state(Path.cwd()), "leo-rl": _git_state(Path(__file__).parent)},
    }


def _git_state(folder: Path) -> dict[str, Any] | None:
    """Return the commit and the modified files; None outside a repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no") or ""
    return {"commit": commit.strip(), "changed": [line[3:] for line in changed.splitlines()]}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None
