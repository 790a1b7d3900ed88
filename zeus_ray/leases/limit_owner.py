"""Owns one GPU's power limit on behalf of its leases: sets it, and restores the original one."""

from __future__ import annotations

import logging
from pathlib import Path

from zeus_ray.errors import BadInput, DeviceError, NoPermission, NotSupported
from zeus_ray.gpus.protocol import Gpu, PhysicalGpu
from zeus_ray.gpus.virtual_gpu import VirtualGpu
from zeus_ray.leases.journal import (
    JOURNAL_VERSION,
    LIMIT_JOURNAL,
    MEASUREMENT_JOURNAL,
    Journal,
    JournalRecord,
    LeaseEntry,
    OtherVersion,
)
from zeus_ray.leases.limit_writes import restore_original_limit, same_limit, set_limit_with_retries
from zeus_ray.leases.process import HolderProcess, boot_id
from zeus_ray.leases.state_dir import state_dir
from zeus_ray.leases.table import LeaseTable
from zeus_ray.leases.watchdog import ensure_watchdog

ADOPT_WITHIN_S = 0.5
"""How long a process that has just been killed may still hold its locks."""
CONTROL_IS_OFF = "power control is off (ZEUS_RAY_POWER_CONTROL): this run measures and sets no limit"

logger = logging.getLogger("zeus_ray")


class LimitOwner:
    """Sets one GPU's limit for the leases in ``table``. The caller holds the LeaseManager's lock.

    Nothing is written to the GPU before the original limit is in the journal on the disk, and the watchdog
    runs. Leases with power control ``auto`` are in the journal whose lock is the right to set the limit;
    those with ``off`` in one of their own, only to be continued by a restarted process. A virtual GPU
    ends with its process, so it has neither journals nor a watchdog.

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
        self._journals = {} if isinstance(gpu, VirtualGpu) else _journals(folder or state_dir(), gpu.uuid)
        self._source = gpu.source if isinstance(gpu, PhysicalGpu) else ""
        self.original_w = gpu.power_limit_w()
        self._original_enforced_w = gpu.enforced_limit_w()
        self._persistent = gpu.persistent() if isinstance(gpu, PhysicalGpu) else None
        self._our_limits_w: list[float] = []
        self._refusal: str | None = None if self._journals else ""
        self._why_not = ""
        self.recorded_s = gpu.now_s()

    def adopt(self, control: str) -> None:
        """Continue the leases of an earlier process whose holder processes still run.

        Never writes to the GPU. With ``control`` ``off`` only leases that may not set limits are adopted.
        """
        for name, journal in self._journals.items():
            record = self._left_behind(journal) if control in ("auto", name) else None
            if record is None:
                continue
            self._table.adopt(record.live())
            if name == "auto":
                self._continue_from(record)

    def open(self, control: str) -> None:
        """Before a lease begins: take the lock of its journal, and with it the right to set the limit."""
        if control == "auto":
            self._why_not = self._take()
            return
        try:
            if control in self._journals:
                self._journals[control].lock()
        except OSError as error:
            logger.warning("zeus-ray: no journal: a restarted actor will not know its leases (%s)", error)

    def why_not(self, entry: LeaseEntry) -> str:
        """Why this lease may not set a limit; "" if it may."""
        return CONTROL_IS_OFF if entry.control == "off" else self._why_not

    def check(self, entry: LeaseEntry, limit_w: float) -> None:
        """Refuse a limit before anything is changed. Raises NoPermission, BadInput, LeaseRefused."""
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

    def release_unused(self) -> None:
        """After a lease has ended: restore the original limit if no lease needs another one, and unlock.

        Raises:
            DeviceError: the GPU refuses the original limit; the journal keeps it.
        """
        try:
            if not self._table.limits_w:
                self._restore()
        finally:
            self.record()
            self.unlock_unused()

    def unlock_unused(self) -> None:
        """Release the lock of each journal that has no lease: another process may set the limit."""
        for control, journal in self._journals.items():
            if not self._table.with_control(control):
                journal.unlock()

    def record(self) -> None:
        """Write leases and their energy to the journals. A full disk is logged."""
        self.recorded_s = self._gpu.now_s()
        try:
            for control in self._journals:
                self._record(control)
        except OSError as error:
            logger.warning("zeus-ray: the journal of %s cannot be written: %s", self._gpu.uuid, error)

    def _record(self, control: str) -> None:
        journal, entries = self._journals.get(control), self._table.with_control(control)
        if journal is None or not journal.locked:
            return
        our_limits_w = tuple(self._our_limits_w) if control == "auto" else ()
        if not entries and not our_limits_w:
            journal.clear()
            return
        journal.write(
            JournalRecord(
                uuid=self._gpu.uuid,
                source=self._source,
                original_limit_w=self.original_w,
                original_enforced_w=self._original_enforced_w,
                persistent=self._persistent,
                our_limits_w=our_limits_w,
                manager=HolderProcess.current(""),
                entries=entries,
                boot_id=boot_id(),
                version=JOURNAL_VERSION,
            )
        )

    def _write(self, limit_w: float) -> None:
        """Journal, set, read back."""
        self._our_limits_w.append(limit_w)
        try:
            self._record("auto")
        except OSError as error:
            self._our_limits_w.pop()
            raise NoPermission(f"no limit is set: its journal cannot be written ({error})") from error
        if self._journals and self._watchdog:
            ensure_watchdog(self._journals["auto"].path.parent)
        set_limit_with_retries(self._gpu, limit_w)
        read_w = self._gpu.power_limit_w()
        self._our_limits_w = [limit_w] if same_limit(read_w, limit_w) else [limit_w, read_w]
        if len(self._our_limits_w) > 1:  # the driver has rounded: after a crash, both must be known
            self._record("auto")

    def _restore(self) -> None:
        if self._our_limits_w:
            restore_original_limit(self._gpu, self.original_w, self._our_limits_w)
            self._our_limits_w = []

    def _fall_back(self) -> None:
        """After a failed set: the limit of the other leases, or else the original one."""
        try:
            if self._table.limits_w:
                self._write(self._table.limits_w[0])
            else:
                self._restore()
                self.record()
        except DeviceError:
            logger.exception("zeus-ray: %s refuses its limit; its journal keeps it", self._gpu.uuid)

    def _left_behind(self, journal: Journal) -> JournalRecord | None:
        """The record of an earlier process with living leases, its journal locked; else None, not locked."""
        try:
            if not journal.path.exists() or not journal.lock(ADOPT_WITHIN_S):
                return None
            record = journal.read()
            if record is not None:
                record.check_version()
                if record.live():
                    return record
        except (OtherVersion, OSError) as error:
            logger.warning("zeus-ray: %s: %s", journal.path, error)
        journal.unlock()
        return None

    def _continue_from(self, record: JournalRecord) -> None:
        self.original_w, self._original_enforced_w = record.original_limit_w, record.original_enforced_w
        self._our_limits_w = list(record.our_limits_w)

    def _take(self) -> str:
        """Take the right to set the limit. Returns why it cannot be set; "" if it can."""
        journal = self._journals.get("auto")
        if journal is None or journal.locked:
            return self._refusal or ""
        try:
            if not journal.lock():
                return f"{self._gpu.uuid} is held by {_held_by(journal)}: this run only measures"
            return self._begin(journal.read())
        except OtherVersion as error:
            journal.unlock()
            return f"{journal.path}: {error}"
        except OSError as error:
            return f"no journal can be kept ({error}), and without one no limit is set"

    def _begin(self, left_behind: JournalRecord | None) -> str:
        """Restore what an ended process has left behind, then find out whether limits can be set."""
        if left_behind is not None:
            left_behind.check_version()
            self._continue_from(left_behind)
            try:
                self._restore()
            except (DeviceError, BadInput) as error:
                return f"an ended process left its limit behind, which could not be restored: {error}"
        self.original_w, self._original_enforced_w = self._gpu.power_limit_w(), self._gpu.enforced_limit_w()
        if self._refusal is None:
            self._refusal = self._try_to_set()
        return self._refusal

    def _try_to_set(self) -> str:
        """Set the limit that is already set, once per process: no query tells whether setting is allowed."""
        try:
            set_limit_with_retries(self._gpu, self.original_w)
        except (NoPermission, NotSupported) as error:
            return str(error)
        except BadInput as error:
            return f"the original limit is outside the range of the GPU: {error}"
        return ""


def _journals(folder: Path, uuid: str) -> dict[str, Journal]:
    """The GPU's journals, by the power control of their leases."""
    return {
        "auto": Journal(folder, uuid, suffix=LIMIT_JOURNAL),
        "off": Journal(folder, uuid, suffix=MEASUREMENT_JOURNAL),
    }


def _held_by(journal: Journal) -> str:
    """The process that holds the journal's lock, as far as its record tells."""
    try:
        record = journal.read()
    except OtherVersion:
        record = None
    return record.held_by() if record else "another process"
