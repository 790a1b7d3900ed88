"""Owns one GPU's power limit on behalf of its leases: sets it, and restores the original one."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path

from zeus_ray.errors import BadInput, DeviceError, DeviceLost, NoPermission, NotSupported
from zeus_ray.gpus.protocol import Gpu
from zeus_ray.gpus.virtual_gpu_base import VirtualGpu
from zeus_ray.leases.journal_record import JournalRecord, LeaseEntry
from zeus_ray.leases.journals_from_lease_table import LeaseJournals
from zeus_ray.leases.leases_and_their_energy_shares import LeaseTable
from zeus_ray.leases.state_dir import state_dir
from zeus_ray.leases.take_both_limit_locks import ADOPT_WITHIN_S
from zeus_ray.leases.watchdog_start_and_status import ensure_watchdog
from zeus_ray.leases.write_limit_and_read_back import (
    read_limit,
    restore_original_limit,
    same_limit,
    set_limit_with_retries,
)

CHECK_EVERY_S = 1.0
"""How often locks, journal, watchdog and limit are looked at while the GPU is leased."""
CONTROL_IS_OFF = "power control is off (ZEUS_RAY_POWER_CONTROL): this run measures and sets no limit"
FORKED = "this process was forked from the one that leased the GPU, and only that one sets its limit"

logger = logging.getLogger("zeus_ray")


class LimitOwner:
    """Sets one GPU's limit for the leases in ``table``. The caller holds the LeaseManager's lock.

    Nothing is written to the GPU before the original limit is in the journal on the disk, and the watchdog
    runs; nothing is forgotten before the GPU reports the original limit. A limit that someone else has set
    meanwhile is left alone to the end of the leases. A virtual GPU ends with its process, so it has neither
    journals nor a watchdog.

    Args:
        gpu: the GPU.
        table: its leases.
        folder: where the journals are (default: see :func:`state_dir`).
        watchdog: start the watchdog before the first limit is set.
    """

    def __init__(self, gpu: Gpu, table: LeaseTable, folder: Path | None, *, watchdog: bool) -> None:
        self._gpu = gpu
        self._table = table
        self._watchdog = watchdog
        virtual = isinstance(gpu, VirtualGpu)
        self._journals = None if virtual else LeaseJournals(gpu, table, folder or state_dir())
        self._pid = os.getpid()
        self.original_w = gpu.power_limit_w()
        self._original_enforced_w = gpu.enforced_limit_w()
        self._our_limits_w: list[float] = []
        self._expected_w = [self.original_w]
        self._refusal: str | None = "" if virtual else None
        self._why_not = ""
        self._ready = False
        self.changed_by_others = False
        self._check_at_s = 0.0
        self.recorded_s = gpu.now_s()

    @property
    def forked(self) -> bool:
        """Whether this is a child of the process that took the leases: it neither sets nor releases."""
        return os.getpid() != self._pid

    # --- leases begin and end ----------------------------------------------------------------------

    def adopt(self, control: str) -> None:
        """Continue the leases of an earlier process whose holder processes still run.

        Never writes to the GPU. With ``control`` ``off`` only leases that may not set limits are adopted.
        """
        journals = self._journals
        if journals is None:
            return
        found = journals.left_behind(journals.measured)
        if found and found[1] and journals.measured.lock(ADOPT_WITHIN_S):
            self._table.adopt(found[1])
            self._why_not = "its limit could not be set when this lease began"
        found = journals.left_behind(journals.rights.journal) if control == "auto" else None
        if not found or not found[1]:
            return
        record, live = found
        self._why_not = journals.rights.take(ADOPT_WITHIN_S)
        self._table.adopt(live)
        if self._why_not:
            logger.warning("zeus-ray: %s", self._why_not)
            return
        self._continue_from(record)
        self._ready = True
        self.record()
        if self._watchdog:
            ensure_watchdog(journals.folder, wait=False)

    def open(self, control: str) -> None:
        """Before a lease begins: take the lock of its journal, and with it the right to set the limit."""
        if self._journals is None:
            return
        if control == "auto":
            self._why_not = self._take(self._journals)
            if self._why_not and self._watchdog and self._journals.rights.journal.exists():
                ensure_watchdog(self._journals.folder, wait=False)  # it restores what is left there
        if control == "off" or not self._journals.rights.journal.locked:
            self._journals.lock_measured()

    def release_unused(self) -> None:
        """After a lease has ended: restore the original limit if no lease needs another one, and unlock.

        It can be repeated after an interrupt or an error, and ends what the first call has begun.

        Raises:
            DeviceError: the GPU refuses the original limit, or does not have it; the journal keeps it.
        """
        if self.forked:
            return
        try:
            if not self._table.limits_w:
                self._restore()
        except DeviceError:
            if self._journals is not None and self._watchdog:
                ensure_watchdog(self._journals.folder, wait=False)
            raise
        finally:
            self.record()
            self.unlock_unused()

    def unlock_unused(self) -> None:
        """Release the lock of each journal that has no lease: another process may set the limit."""
        if self._journals is not None and not self.forked and self._journals.unlock_unused():
            self._ready = self.changed_by_others = False

    # --- the limit ---------------------------------------------------------------------------------

    def why_not(self, entry: LeaseEntry) -> str:
        """Why this lease may not set a limit; "" if it may."""
        return CONTROL_IS_OFF if entry.control == "off" else self._why_not

    def check(self, entry: LeaseEntry, limit_w: float) -> None:
        """Refuse a limit before anything is changed. Raises NoPermission, BadInput, LeaseRefused."""
        if self.forked:
            raise NoPermission(FORKED)
        self.look()
        why_not = self.why_not(entry)
        if why_not:
            raise NoPermission(why_not)
        self._gpu.range.check(limit_w)
        self._table.check_limit(entry.lease_id, limit_w, self._gpu.enforced_limit_w())

    def set(self, entry: LeaseEntry, limit_w: float) -> None:
        """Set a limit that was checked.

        Raises:
            DeviceError: the GPU refuses it. It is back at the limit of the other leases, or at the original
                one; where it refuses that as well, the journal keeps the original limit.
        """
        self._table.note_limit(entry.lease_id, limit_w)
        try:
            self._write(limit_w)
        except DeviceError:
            self._table.note_limit(entry.lease_id, None)
            self._fall_back()
            raise

    def look(self) -> None:
        """Find out whether someone else has set the limit: then it is theirs. Raises DeviceError."""
        if self._journals is None or not self._ready or self.changed_by_others or self.forked:
            return
        now_w = read_limit(self._gpu, self._expected_w)
        if any(same_limit(now_w, limit_w) for limit_w in self._expected_w):
            return
        self.changed_by_others = True
        self._why_not = f"{self._gpu.uuid} was set to {now_w:g} W by someone else, and is left at that"
        logger.warning("zeus-ray: %s (by zeus-ray: %g W)", self._why_not, self._expected_w[-1])
        self._our_limits_w = []
        self.record()

    def keep(self) -> Path | None:
        """Keep what protects the limit while the GPU is leased; called often, acts once a second.

        A limit that an ended process has left behind and that could not be restored is tried again; deleted
        locks and journals are made anew.

        Returns:
            The state folder, where its watchdog should run now.
        """
        journals = self._journals
        if journals is None or self.forked:
            return None
        journals.rights.beat()
        if time.monotonic() < self._check_at_s:
            return None
        self._check_at_s = time.monotonic() + CHECK_EVERY_S
        if journals.rights.journal.locked and not self._ready:
            self._why_not = self._take(journals)
        if self._ready and not journals.rights.held:
            self._repair(journals)
        self.look()
        return journals.folder if self._watchdog and self._our_limits_w else None

    def record(self, *, sync: bool = True) -> None:
        """Write leases and their energy to the journals. A full disk is logged."""
        if self.forked:
            return
        self.recorded_s = self._gpu.now_s()
        try:
            self._write_journals(sync=sync)
        except OSError as error:
            logger.warning("zeus-ray: the journal of %s cannot be written: %s", self._gpu.uuid, error)

    def _write_journals(self, *, sync: bool = True) -> None:
        if self._journals is not None:
            limits_w = tuple(self._our_limits_w)
            self._journals.write(self.original_w, self._original_enforced_w, limits_w, sync=sync)

    def _write(self, limit_w: float) -> None:
        """Journal, set, read back."""
        earlier_w = list(self._our_limits_w)
        self._our_limits_w.append(limit_w)
        journals = self._journals
        if journals is not None and not journals.rights.held and not self._repair(journals):
            self._our_limits_w = earlier_w
            raise NoPermission(self._why_not or f"no limit is set: {journals.folder} was deleted")
        try:
            self._write_journals()
        except OSError as error:
            self._our_limits_w = earlier_w
            raise NoPermission(f"no limit is set: its journal cannot be written ({error})") from error
        if journals is not None and self._watchdog:
            ensure_watchdog(journals.folder)
        self._expected_w = [*self._expected_w, limit_w]  # where this fails, it may be at either
        try:
            read_w = set_limit_with_retries(self._gpu, limit_w)
        except DeviceError:
            self._note_what_was_set()
            raise
        self._our_limits_w = [limit_w] if same_limit(read_w, limit_w) else [limit_w, read_w]
        self._expected_w = self._our_limits_w
        if len(self._our_limits_w) > 1:  # the driver has rounded: after a crash, both must be known
            self._write_journals()

    def _note_what_was_set(self) -> None:
        """After a set that failed: a driver may have set something else, which is ours to take back."""
        with contextlib.suppress(DeviceError):
            now_w = read_limit(self._gpu, self._expected_w)
            if not any(same_limit(now_w, limit_w) for limit_w in self._expected_w):
                self._our_limits_w.append(now_w)
                self._expected_w = [*self._expected_w, now_w]
                self.record()

    def _restore(self) -> None:
        if not self._our_limits_w:
            return
        try:
            restore_original_limit(self._gpu, self.original_w, self._our_limits_w)
        except BadInput as error:
            raise DeviceError(f"the original limit is outside the range of the GPU: {error}") from error
        self._our_limits_w, self._expected_w = [], [self._gpu.power_limit_w()]

    def _fall_back(self) -> None:
        """After a failed set: the limit of the other leases, or else the original one."""
        try:
            self.look()
            if self._table.limits_w and not self.changed_by_others:
                self._write(self._table.limits_w[0])
            else:
                self._restore()
                self.record()
        except DeviceError as error:
            logger.warning("zeus-ray: %s refuses its limit; its journal keeps it: %s", self._gpu.uuid, error)

    def _repair(self, journals: LeaseJournals) -> bool:
        """The state folder or a lock's file is gone: make them anew, unless another process was quicker."""
        try:
            if not journals.rights.retake():
                self._why_not = f"the lock of {self._gpu.uuid} was deleted, and another process has it now"
                return False
            self._write_journals()
        except OSError as error:
            logger.warning("zeus-ray: %s cannot be made again: %s", journals.folder, error)
            return False
        logger.warning("zeus-ray: %s was deleted or replaced: made again", journals.rights.journal.path)
        return True

    # --- the right to set it -----------------------------------------------------------------------

    def _take(self, journals: LeaseJournals) -> str:
        """Take the right to set the limit. Returns why it cannot be set; "" if it can."""
        if not journals.rights.held:
            why_not = journals.rights.take()
            if why_not:
                return why_not
        if self.changed_by_others:
            return self._why_not
        if self._ready:
            return self._refusal or ""
        found = journals.left_behind(journals.rights.journal)
        if found is not None:
            self._continue_from(found[0])
            try:
                self._restore()
            except DeviceError as error:
                return f"an ended process left its limit behind, which could not be restored: {error}"
        self.original_w, self._original_enforced_w = read_limit(self._gpu), self._gpu.enforced_limit_w()
        self._expected_w = [self.original_w]
        self._ready = True
        if self._refusal is None:
            try:
                self._refusal = self._try_to_set()
            except DeviceLost:
                raise
            except DeviceError as error:
                self._ready = False  # and it is tried again
                return str(error)
        return self._refusal

    def _continue_from(self, record: JournalRecord) -> None:
        """Continue an ended process's limit; after a restart of the machine there is none."""
        self.original_w, self._original_enforced_w = record.original_limit_w, record.original_enforced_w
        self._our_limits_w = list(record.our_limits_w) if record.of_this_boot else []
        self._expected_w = [self.original_w, *self._our_limits_w]

    def _try_to_set(self) -> str:
        """Set the limit that is already set, once per process: no query tells whether setting is allowed."""
        try:
            set_limit_with_retries(self._gpu, self.original_w)
        except (NoPermission, NotSupported) as error:
            return str(error)
        except BadInput as error:
            return f"the original limit is outside the range of the GPU: {error}"
        return ""
