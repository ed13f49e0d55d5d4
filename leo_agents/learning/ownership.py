"""Marks that show that this user wrote a file on this machine: only such files are unpickled without asking."""

import hashlib
import hmac
import os
import secrets
import sys
from pathlib import Path


def sign(content: bytes) -> str | None:
    """
    Compute the mark of a content: its HMAC-SHA256 with a key that only this user can read.

    :param content: what is marked
    :return: the mark; None if the key can be neither read nor created
    """
    key = _read_key()
    return None if key is None else hmac.new(key, content, hashlib.sha256).hexdigest()


def is_signed(content: bytes, mark: object) -> bool:
    """
    Return whether a mark was computed by :func:`sign` for this content, by this user on this machine.

    :param content: what is marked
    :param mark: the mark
    """
    expected = sign(content)
    return expected is not None and isinstance(mark, str) and hmac.compare_digest(expected.encode(), mark.encode())


def key_path() -> Path:
    """Return the path of the key, in the user's configuration folder."""
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "leo-rl" / "key"


def _read_key() -> bytes | None:
    try:
        path = key_path()
        if not path.exists():
            _create_key(path)
        key = path.read_bytes()
    except (OSError, RuntimeError):  # no home folder, or none that can be written to
        return None
    return key if len(key) == 32 else None


def _create_key(path: Path) -> None:
    """Create the key under another name first: of several processes that do so, one wins, and none reads half a key."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f"key.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(32))
    finally:
        os.close(descriptor)
    try:
        os.link(partial, path)
    except OSError:  # the key exists by now, or the file system has no hard links
        if not path.exists():
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
