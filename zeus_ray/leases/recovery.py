"""Restore the power limits of ended processes from their journals: by the watchdog, or `zeus-ray restore`."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from zeus_ray.errors import BadInput, DeviceError, NoDevice
from zeus_ray.gpus.discovery import open_gpu, power_control
from zeus_ray.leases.journal import Journal, JournalRecord, OtherVersion, limit_journals
from zeus_ray.leases.limit_writes import restore_original_limit
from zeus_ray.leases.state_dir import check_private, state_dir
from zeus_ray.records import NAN

logger = logging.getLogger("zeus_ray")


@dataclass(frozen=True, kw_only=True)
class RestoreOutcome:
    """What became of one journal. ``done``: the GPU is not at a limit of zeus-ray any more.

    ``failed``: the GPU, the disk or the journal gave an error. ``original_limit_w`` is NaN where the journal
    cannot be read.
    """

    uuid: str
    original_limit_w: float
    done: bool
    message: str
    failed: bool = False


def restore_all(folder: Path | None = None, *, force: bool = False) -> list[RestoreOutcome]:
    """Restore every limit that was left behind on this node.

    Args:
        folder: where the journals are (default: see :func:`state_dir`).
        force: restore the limits of running trials as well; they continue without theirs.
    """
    folder = folder or state_dir()
    try:
        if folder.exists():
            check_private(folder)
    except OSError as error:
        return [unrestored(str(folder), error)]
    outcomes = [restore_journal(Journal(folder, path.stem), force=force) for path in limit_journals(folder)]
    return [outcome for outcome in outcomes if outcome is not None]


def restore_journal(journal: Journal, *, force: bool = False) -> RestoreOutcome | None:
    """Restore the limit of one journal, unless its GPU is still held. None: there is no record."""
    try:
        return _restore_unless_held(journal, force)
    except (OtherVersion, OSError) as error:
        return unrestored(journal.path.stem, error)


def unrestored(name: str, error: Exception) -> RestoreOutcome:
    """The outcome where a journal, or a whole node, could not be read."""
    return RestoreOutcome(uuid=name, original_limit_w=NAN, done=False, message=str(error), failed=True)


def _restore_unless_held(journal: Journal, force: bool) -> RestoreOutcome | None:
    record = journal.read()
    if record is None:
        return None
    if power_control() == "off":
        return _kept(record, "power control is off")
    held = _held(record)
    if held and not force:
        return _kept(record, held)
    if not journal.lock() and not force:
        return _kept(record, "another process is restoring or leasing it right now")
    try:
        return _restore(journal, force)
    finally:
        journal.unlock()


def _restore(journal: Journal, force: bool) -> RestoreOutcome | None:
    record = journal.read()  # again: it may have changed before the lock was taken
    if record is None:
        return None
    held = _held(record)
    if held and not force:
        return _kept(record, held)
    record.check_version()
    try:
        gpu = open_gpu(record.source, record.uuid)
        try:
            wrote = restore_original_limit(gpu, record.original_limit_w, record.our_limits_w)
        finally:
            gpu.close()
        journal.clear()
    except NoDevice as error:
        gone = f"not on this node any more? ({error}) If it is gone for good, delete {journal.path}"
        return _kept(record, gone, failed=True)
    except (DeviceError, BadInput, OSError) as error:
        return _kept(record, str(error), failed=True)
    message = f"back at {record.original_limit_w:g} W" if wrote else "nothing to restore"
    logger.warning("zeus-ray: %s: %s", record.uuid, message)
    return RestoreOutcome(
        uuid=record.uuid, original_limit_w=record.original_limit_w, done=True, message=message
    )


def _held(record: JournalRecord) -> str:
    """Which processes will restore this GPU's limit; "" if none. A manager without leases has given up."""
    live = record.live()
    trials = ", ".join(f"trial {entry.holder.trial_id} (process {entry.holder.pid})" for entry in live)
    if record.entries and record.manager_alive() and record.manager.pid != os.getpid():
        return (
            f"process {record.manager.pid} manages it for {trials or 'no running trial'} and restores its "
            "limit; --force does so now"
        )
    return f"held by {trials}, and restored when that ends; --force does so now" if live else ""


def _kept(record: JournalRecord, why: str, *, failed: bool = False) -> RestoreOutcome:
    return RestoreOutcome(
        uuid=record.uuid, original_limit_w=record.original_limit_w, done=False, message=why, failed=failed
    )
