"""How much memory there is, and refusing what would not fit before it is allocated."""

import os
from pathlib import Path

# Where a container's own limit is written; it can be far below the machine's memory.
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def total_memory() -> int | None:
    """
    The memory this process may use: the machine's, or its container's if that is less.

    :return: bytes, or None where the system does not tell
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


def format_bytes(num_bytes: float) -> str:
    """
    A size for people.

    :param num_bytes: number of bytes
    :return: for example ``"64.0 MB"``
    """
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.2f} GB"


def check_fits_in_memory(what: str, sizes: dict[str, int], advice: str) -> None:
    """
    Refuse an allocation larger than the memory there is. Without this the arrays would be granted lazily and the
    process killed hours later, when they fill.

    :param what: what is to be allocated
    :param sizes: bytes of each part
    :param advice: what to do about it
    """
    total = total_memory()
    needed = sum(sizes.values())
    if total is not None and needed > total:
        parts = ", ".join(f"{name} {format_bytes(size)}" for name, size in sizes.items())
        raise MemoryError(
            f"expected {what} to fit in {format_bytes(total)} of memory, got {format_bytes(needed)} ({parts}); {advice}"
        )
