"""Which processes measure a GPU at the same time: each of them counts the joules of all.

One file per process in a folder beside the journals. Whoever comes second marks the others, so that none has
to look for newcomers. Files of processes that have ended are removed by the next one.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from zeus_ray.errors import BadInput
from zeus_ray.leases.process import HolderProcess
from zeus_ray.leases.read_and_replace_files import read_file
from zeus_ray.leases.state_dir import make_private
from zeus_ray.records import from_json, to_json

MARK = "shared"
"""Suffix of the file by which a process is told that another one has come."""

logger = logging.getLogger("zeus_ray")


class Presence:
    """This process among those that measure one GPU. Problems with files are logged: nothing depends on them.

    Args:
        folder: where the journals are.
        uuid: of the GPU.
    """

    def __init__(self, folder: Path, uuid: str) -> None:
        self._uuid = uuid
        self._folder = folder / f"{re.sub(r'[^A-Za-z0-9._-]', '_', uuid)}.processes"
        self._own = HolderProcess.current("")
        self._file = self._folder / str(self._own.pid)
        self._mark = self._file.with_suffix(f".{MARK}")
        self._said = False

    def enter(self) -> bool:
        """A lease of this process begins. Returns whether another process has one."""
        try:
            make_private(self._folder.parent)
            make_private(self._folder)
            self._mark.unlink(missing_ok=True)
            self._file.unlink(missing_ok=True)
            self._file.touch(mode=0o600, exist_ok=False)
            self._file.write_text(to_json(self._own))
            others = self._others()
            for other in others:
                (self._folder / f"{other.pid}.{MARK}").touch(mode=0o600)
        except OSError as error:
            logger.debug("zeus-ray: other processes on %s are not known: %s", self._uuid, error)
            return False
        if others:
            self._say(", ".join(str(other.pid) for other in others))
        return bool(others)

    def met(self) -> bool:
        """Whether another process has come since this one entered."""
        if not os.path.lexists(self._mark):  # False also where it cannot be looked at
            return False
        self._say("which came later")
        return True

    def leave(self) -> None:
        """The last lease of this process has ended."""
        try:
            self._file.unlink(missing_ok=True)
            self._mark.unlink(missing_ok=True)
            self._folder.rmdir()
        except OSError:
            pass  # others are still there, or it never was

    def _others(self) -> list[HolderProcess]:
        found = []
        for path in self._folder.iterdir():
            if path == self._file or path.suffix:
                continue
            try:
                other = from_json(HolderProcess, read_file(path))
            except (OSError, BadInput):
                continue  # it has just left, or is just writing
            if other.alive():
                found.append(other)
            else:
                path.unlink(missing_ok=True)
                path.with_suffix(f".{MARK}").unlink(missing_ok=True)
        return found

    def _say(self, who: str) -> None:
        if not self._said:
            self._said = True
            logger.warning(
                "zeus-ray: another process measures %s at the same time (%s): both count its whole energy, "
                "so both are marked as shared, and neither is credited. Give each process a GPU of its own "
                "(CUDA_VISIBLE_DEVICES)",
                self._uuid,
                who,
            )
