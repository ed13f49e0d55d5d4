"""Limit on the size of archives, checked before they are unpacked."""

import zipfile
from os import PathLike

# Stable-Baselines3 and PyTorch do not compress what they save; compressed again by hand, weights shrink little.
_MAX_RATIO = 10
_MIN_LIMIT = 16 * 2**20


def check_archive_size(archive: zipfile.ZipFile, path: str | PathLike[str]) -> None:
    """
    Raise a ``ValueError`` if an archive would unpack to much more than its own size.

    :param archive: the opened archive
    :param path: its name, for the error message
    """
    assert archive.fp is not None
    size = archive.fp.seek(0, 2)
    unpacked, limit = sum(entry.file_size for entry in archive.infolist()), max(_MAX_RATIO * size, _MIN_LIMIT)
    if unpacked > limit:
        raise ValueError(
            f"expected {path} to unpack to at most {limit / 1e6:.0f} MB, got {unpacked / 1e6:.0f} MB in an archive of "
            f"{size / 1e6:.1f} MB; do not use the file, or get it from where it was saved"
        )
