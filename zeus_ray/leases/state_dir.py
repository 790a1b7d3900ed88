"""The folder with the journals of this node: where it is, and that no other user can write to it."""

from __future__ import annotations

import functools
import logging
import os
import stat
from collections.abc import Mapping
from pathlib import Path

STATE_DIR_VARIABLE = "ZEUS_RAY_STATE_DIR"
SYSTEM_STATE_DIR = "/var/lib/zeus-ray"
"""Root's: one for the node, with one watchdog."""

logger = logging.getLogger("zeus_ray")


def state_dir(env: Mapping[str, str] = os.environ) -> Path:
    """``ZEUS_RAY_STATE_DIR``; else root's folder of the node, or one of this user that survives a restart.

    A relative path counts from the working directory at its first use: the watchdog has another one.
    """
    uid = os.geteuid()
    default = f"/var/tmp/zeus-ray-{uid}" if uid else SYSTEM_STATE_DIR  # noqa: S108 — see make_private
    return _absolute(env.get(STATE_DIR_VARIABLE) or default)


@functools.lru_cache
def _absolute(text: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111 — links stay as they are


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
