"""The machine and versions recorded with every result."""

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path

# Flags of processors in /proc/cpuinfo (x86, Arm) on which the speed of matrix products depends, and their names in results.
FEATURES = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX-512 bfloat16",
    "amx_tile": "AMX",
    "amx_bf16": "AMX bfloat16",
    "asimd": "NEON",
    "sve": "SVE",
    "bf16": "NEON bfloat16",
}
# Environment variables by which PyTorch, its libraries and JAX use fewer features than the processor has.
LIMITS = ("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "XLA_FLAGS")
CPU_INFO = Path("/proc/cpuinfo")


def describe(*packages: str) -> dict[str, object]:
    """
    Return the machine, versions and date for the JSON results.

    :param packages: distributions whose versions to record
    :return: cpu, cpu_features, cpu_limits, cores, cores_used, system, python, versions, date
    """
    info = cpu_info()
    return {
        "cpu": info.get("model name") or platform.processor() or "unknown",
        "cpu_features": cpu_features(info),
        "cpu_limits": {name: os.environ[name] for name in LIMITS if name in os.environ},
        "cores": os.cpu_count(),
        "cores_used": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {package: importlib.metadata.version(package) for package in packages},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def cpu_info() -> dict[str, str]:
    """Return the entries of the first processor in ``/proc/cpuinfo``; nothing where there is no such file."""
    if not CPU_INFO.exists():
        return {}
    first = CPU_INFO.read_text().strip().partition("\n\n")[0]
    entries = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in entries}


def cpu_features(info: Mapping[str, str]) -> list[str] | None:
    """
    Return the features of a processor on which the speed of matrix products depends.

    :param info: from :func:`cpu_info`
    :return: values of :data:`FEATURES`; None if the system does not tell
    """
    flags = info.get("flags", info.get("Features"))
    return None if flags is None else [name for flag, name in FEATURES.items() if flag in flags.split()]
