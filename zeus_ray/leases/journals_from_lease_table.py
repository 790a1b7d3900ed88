"""The journals of one GPU, written from its lease table: of its limit, and of leases that only measure."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from zeus_ray.gpus.protocol import Gpu, PhysicalGpu
from zeus_ray.leases.ended_lease_usage import keep_ended_leases
from zeus_ray.leases.journal_and_lock_of_one_gpu import MEASUREMENT_JOURNAL, Journal
from zeus_ray.leases.journal_record import JOURNAL_VERSION, JournalRecord, LeaseEntry, OtherVersion
from zeus_ray.leases.leases_and_their_energy_shares import LeaseTable
from zeus_ray.leases.process import HolderProcess, boot_id
from zeus_ray.leases.take_both_limit_locks import LimitRights

logger = logging.getLogger("zeus_ray")


class LeaseJournals:
    """What a restarted process, the watchdog and other users must know of one GPU.

    A lease is in the journal of the limit where this process has the right to set it, else in the other one,
    only to be continued by a restarted process.

    Args:
        gpu: the GPU.
        table: its leases.
        folder: the state folder.
    """

    def __init__(self, gpu: Gpu, table: LeaseTable, folder: Path) -> None:
        self.rights = LimitRights(gpu, Journal(folder, gpu.uuid))
        self.measured = Journal(folder, gpu.uuid, suffix=MEASUREMENT_JOURNAL)
        self.folder = folder
        self._gpu = gpu
        self._table = table
        self._persistent = gpu.persistent() if isinstance(gpu, PhysicalGpu) else None

    def write(
        self, original_w: float, original_enforced_w: float, our_limits_w: tuple[float, ...], *, sync: bool
    ) -> None:
        """Write the journals whose locks this process holds. Raises OSError."""
        limit_journal = self.rights.journal
        held = limit_journal.locked
        entries = {True: self._table.with_control("auto"), False: self._table.with_control("off")}
        for journal, mine, limits_w in (
            (limit_journal, entries[True], our_limits_w),
            (self.measured, entries[False] if held else tuple(self._table), ()),
        ):
            if not journal.locked:
                continue
            if not mine and not limits_w:
                journal.clear()
                continue
            journal.write(
                JournalRecord(
                    uuid=self._gpu.uuid,
                    source=self._gpu.source if isinstance(self._gpu, PhysicalGpu) else "",
                    original_limit_w=original_w,
                    original_enforced_w=original_enforced_w,
                    persistent=self._persistent,
                    our_limits_w=limits_w,
                    manager=HolderProcess.current(""),
                    entries=mine,
                    boot_id=boot_id(),
                    version=JOURNAL_VERSION,
                ),
                sync=sync,
            )
        if held:
            self.rights.note(original_w, our_limits_w)

    def lock_measured(self) -> None:
        """Before a lease begins that may not set the limit. Without a journal it is measured all the same."""
        try:
            if self.measured.lock():
                self.left_behind(self.measured)
        except OSError as error:
            logger.warning("zeus-ray: no journal: a restarted actor will not know its leases (%s)", error)

    def left_behind(self, journal: Journal) -> tuple[JournalRecord, tuple[LeaseEntry, ...]] | None:
        """The record of a process that has ended, and its living leases; what the others used is kept."""
        try:
            record = journal.read() if journal.exists() else None
            if record is None or (record.manager_alive() and record.manager.pid != os.getpid()):
                return None
            record.check_version()
            keep_ended_leases(self.folder, record)
        except (OtherVersion, OSError) as error:
            logger.warning("zeus-ray: %s: %s", journal.path, error)
            return None
        return record, record.live()

    def unlock_unused(self) -> bool:
        """Release the lock of each journal without leases. Returns whether none may set."""
        auto, off = self._table.with_control("auto"), self._table.with_control("off")
        held = self.rights.journal.locked
        if not auto and held:
            self.rights.give_back()
        if not off and (held or not auto):
            self.measured.unlock()
        return not auto
