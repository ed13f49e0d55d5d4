"""Memory available to this process."""

import os
from pathlib import Path

# Memory limit of the container (cgroup v2 and v1), which can be far below the machine's memory.
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def total_memory() -> int | None:
    """
    Return the memory available to this process: the machine's, or the container's limit if that is lower.

    :return: bytes, or None if the system does not report it
    """
    limits = []
    if hasattr(os, "sysconf") and {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= os.sysconf_names.keys():
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in CGROUP_LIMITS:
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):  # no such file, or "max": no limit
            continue
    return min((limit for limit in limits if limit > 0), default=None)
