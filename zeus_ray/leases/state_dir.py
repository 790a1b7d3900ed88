"""The folder with the journals of this node: where it is, and that no other user can write to it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

STATE_DIR_VARIABLE = "ZEUS_RAY_STATE_DIR"


def state_dir(env: Mapping[str, str] = os.environ) -> Path:
    """``ZEUS_RAY_STATE_DIR``, or else a folder of this user that survives a restart of the machine."""
    return Path(env.get(STATE_DIR_VARIABLE) or f"/var/tmp/zeus-ray-{os.geteuid()}")  # noqa: S108 — see make_private


def make_private(path: Path) -> Path:
    """Create ``path`` for this user alone, if it does not exist.

    Raises:
        PermissionError: another user owns it, or can write to it.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return check_private(path)


def check_private(path: Path) -> Path:
    """Return ``path``, which exists.

    Raises:
        PermissionError: another user owns it, or can write to it: its content may be forged.
    """
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(
            f"{path} is not a folder of this user (uid {os.geteuid()}, owner {found.st_uid}): "
            f"run as its owner, or set {STATE_DIR_VARIABLE} to a folder of your own"
        )
    if found.st_mode & 0o022:
        raise PermissionError(f"{path} can be written by others: chmod 700 it")
    return path
