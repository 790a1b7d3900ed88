"""The right of this process to set one GPU's limit: the lock of its journal, and the node's lock."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from zeus_ray.gpus.protocol import Gpu
from zeus_ray.leases.journal_and_lock_of_one_gpu import Journal
from zeus_ray.leases.journal_record import JournalRecord, OtherVersion
from zeus_ray.leases.limit_lock_and_note_of_all_users import GpuClaim

ADOPT_WITHIN_S = 0.5
"""How long a process that has just been killed may still hold its locks."""

logger = logging.getLogger("zeus_ray")


class LimitRights:
    """Both locks of one GPU: they are taken together, kept, and given back together.

    Args:
        gpu: the GPU.
        journal: the journal of its limit.
    """

    def __init__(self, gpu: Gpu, journal: Journal) -> None:
        self.journal = journal
        self._gpu = gpu
        self._claim = GpuClaim(gpu.uuid, journal.path.parent)

    @property
    def folder(self) -> Path:
        """The state folder."""
        return self.journal.path.parent

    @property
    def held(self) -> bool:
        """Whether this process has the right, and no other one can have it."""
        return self.journal.intact and self._claim.held

    def take(self, wait_s: float = 0.0) -> str:
        """Take the right. Returns why it cannot be had; "" if this process has it."""
        try:
            if not self.journal.lock(wait_s):
                return f"{self._gpu.uuid} is held by {self._holder()}: this run only measures"
            record = self.journal.read()
            if record is not None and self._is_managed(record):  # someone has deleted the lock's file
                return self._refuse(
                    f"{self._gpu.uuid} is held by {record.held_by()}, whose lock file was deleted: "
                    "this run only measures"
                )
            if record is not None:
                record.check_version()
            if not self._claim.take(wait_s):
                return self._refuse(
                    f"{self._gpu.uuid} is held by another user, or by a process with another state folder: "
                    "this run only measures"
                )
            note = self._claim.noted_by_others(self._gpu.power_limit_w())
        except OtherVersion as error:
            return self._refuse(f"{self.journal.path}: {error}")
        except OSError as error:
            return self._refuse(f"no journal can be kept ({error}), and without one no limit is set")
        return self._refuse(f"{self._gpu.uuid} is not at its own limit: {note.remedy()}") if note else ""

    def retake(self) -> bool:
        """After a lock's file or the state folder was deleted: take what is free again. Raises OSError."""
        return self.journal.lock() and self._claim.take()

    def note(self, original_limit_w: float, our_limits_w: tuple[float, ...]) -> None:
        """Tell other users of the node what is changed here. Raises OSError."""
        if self._claim.held or not our_limits_w:
            self._claim.note(original_limit_w, our_limits_w)

    def beat(self) -> None:
        """Show that this process answers."""
        self.journal.beat()

    def give_back(self) -> None:
        """Another process may set the limit from now on."""
        self._claim.release()
        self.journal.unlock()

    def _refuse(self, why: str) -> str:
        self.give_back()
        return why

    def _is_managed(self, record: JournalRecord) -> bool:
        """Whether another process than this manages the GPU, whatever the lock says."""
        return bool(record.entries) and record.manager.pid != os.getpid() and record.manager_alive()

    def _holder(self) -> str:
        """The process that holds the journal's lock, as far as its record tells."""
        try:
            record = self.journal.read()
        except OtherVersion:
            record = None
        return record.held_by() if record else "another process"
