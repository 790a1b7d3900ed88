"""The folder with the journals of this node: where it is, and that no other user can write to it."""

from __future__ import annotations

import functools
import logging
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

STATE_DIR_VARIABLE = "ZEUS_RAY_STATE_DIR"
SYSTEM_STATE_DIR = "/var/lib/zeus-ray"
"""Root's: one for the node, with one watchdog."""
SET_ASIDE = ".unreadable"
"""Suffix of files that could not be read; ``doctor`` names them."""

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


def safe_name(uuid: str) -> str:
    """``uuid`` as the beginning of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", uuid)


def set_aside(path: Path, why: object) -> None:
    """Move what cannot be read out of the way, whatever it is, and log that. Raises OSError."""
    aside = path.with_suffix(SET_ASIDE)
    number = 1
    while os.path.lexists(aside):
        number += 1
        aside = path.with_suffix(f".{number}{SET_ASIDE}")
    path.rename(aside)
    reason = str(why).partition("\n")[0]
    logger.error("zeus-ray: %s: %s; moved to %s, check the GPU's limit", path, reason, aside)


def files_set_aside(folder: Path) -> list[Path]:
    """What was moved out of the way in ``folder``."""
    return sorted(folder.glob(f"*{SET_ASIDE}"))


def read_file(path: Path, most: int = 1 << 20) -> bytes:
    """The content of a file.

    Raises:
        FileNotFoundError: there is none.
        IsADirectoryError: what is there is no file: a folder, a pipe, a link.
        OSError: it cannot be read.
    """
    if path.is_symlink():
        raise IsADirectoryError(f"{path} is a link")
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(file, "rb", closefd=True) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise IsADirectoryError(f"{path} is no file")
        return opened.read(most)


def replace_file(path: Path, text: bytes, *, sync: bool = False) -> None:
    """Replace a file's content in one step; ``sync``: it survives a crash of the machine. Raises OSError."""
    draft = path.with_name(f"{path.name}.draft")
    if os.path.lexists(draft) and not draft.is_file():
        set_aside(draft, f"it should be a draft of {path.name}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        while text:
            text = text[os.write(file, text) :]
        if sync:
            os.fsync(file)
    finally:
        os.close(file)
    draft.replace(path)
