"""The machine and versions recorded with every result."""

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path


def describe(*packages: str) -> dict[str, object]:
    """
    Return the machine, versions and date for the JSON results.

    :param packages: distributions whose versions to record
    :return: cpu, cores, cores_used, system, python, versions, date
    """
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "cores_used": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {package: importlib.metadata.version(package) for package in packages},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
