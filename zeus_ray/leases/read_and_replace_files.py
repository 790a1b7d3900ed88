"""Files in a folder that others may have changed: read, replaced in one step, or set aside when damaged."""

from __future__ import annotations

import logging
import os
import re
import stat
from pathlib import Path

SET_ASIDE = ".unreadable"
"""Suffix of files that could not be read; ``doctor`` names them."""

logger = logging.getLogger("zeus_ray")


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
