"""Restore the power limits of ended processes from their journals: by the watchdog, or `zeus-ray restore`."""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from zeus_ray.errors import BadInput, DeviceError, NoDevice
from zeus_ray.gpus.ask_many_gpus_at_once import each_within
from zeus_ray.gpus.discovery import open_gpu, power_control
from zeus_ray.leases.ended_lease_usage import keep_ended_leases
from zeus_ray.leases.journal_and_lock_of_one_gpu import Journal, limit_journals
from zeus_ray.leases.journal_record import JournalRecord, OtherVersion
from zeus_ray.leases.limit_lock_and_note_of_all_users import GpuClaim
from zeus_ray.leases.state_dir import check_private, state_dir
from zeus_ray.leases.write_limit_and_read_back import read_limit, restore_original_limit, same_limit
from zeus_ray.records import NAN

GPU_ANSWERS_WITHIN_S = 8.0

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
    """Restore every limit that was left behind on this node; a GPU that hangs delays no other.

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
    outcomes = each_within(
        GPU_ANSWERS_WITHIN_S,
        [path.stem for path in limit_journals(folder)],
        lambda name: restore_journal(Journal(folder, name), force=force),
        otherwise=unrestored,
    )
    return [outcome for outcome in outcomes if outcome is not None]


def restore_journal(journal: Journal, *, force: bool = False) -> RestoreOutcome | None:
    """Restore the limit of one journal, unless its GPU is still held. None: there is no record."""
    try:
        return _restore_unless_held(journal, force)
    except (OtherVersion, OSError) as error:
        return unrestored(journal.path.stem, error)


def unrestored(name: str, error: Exception) -> RestoreOutcome:
    """The outcome where a journal, a GPU or a whole node gave an error."""
    return RestoreOutcome(uuid=name, original_limit_w=NAN, done=False, message=str(error), failed=True)


def why_held(journal: Journal, record: JournalRecord) -> str:
    """Which processes will restore this GPU's limit; "" if none does.

    A trial that runs keeps its limit; a process that is another program now is none. After it, the lease
    manager restores the limit, unless it has given up (then it has no leases) or does not answer.
    """
    live = record.live()
    if live and journal.abandoned:
        live = tuple(entry for entry in live if entry.holder.pid != record.manager.pid)
    trials = ", ".join(f"trial {entry.holder.trial_id} (process {entry.holder.pid})" for entry in live)
    if live:
        return f"held by {trials}, and restored when that ends; --force does so now"
    if record.entries and record.manager.pid != os.getpid() and journal.manager_answers(record):
        return (
            f"process {record.manager.pid} manages it for no running trial and restores its limit; "
            "--force does so now"
        )
    return ""


def _restore_unless_held(journal: Journal, force: bool) -> RestoreOutcome | None:
    record = journal.read()
    if record is None:
        return None
    if power_control() == "off":
        return _kept(record, "power control is off")
    held = why_held(journal, record)
    if held and not force:
        return _kept(record, held)
    silent = not journal.lock_answers
    claim = GpuClaim(record.uuid, journal.path.parent)
    try:
        locked = journal.lock()
        claimed = locked and (_take(claim) or _only_locked(record, claim))
        hangs = (record.manager_alive() and bool(record.entries)) or (silent and not locked)
        if not claimed and not force and not hangs:
            return _kept(record, "another process is restoring or leasing it right now")
        return _restore(journal, record, claim, force=force, forget=claimed or force)
    finally:
        claim.release()
        journal.unlock()


def _restore(
    journal: Journal, looked_at: JournalRecord, claim: GpuClaim, *, force: bool, forget: bool
) -> RestoreOutcome | None:
    """Restore the limit; ``forget``: and delete the journal, as no other process has its lock."""
    record = journal.read()
    if record is None:
        return None
    if record != looked_at and not force:  # it has changed before the lock was taken
        held = why_held(journal, record)
        if held:
            return _kept(record, held)
    record.check_version()
    keep_ended_leases(journal.path.parent, record)
    try:
        wrote = record.of_this_boot and _write_original(record)
        if forget:
            claim.note(record.original_limit_w, ())
            journal.clear()
    except NoDevice as error:
        gone = f"not on this node any more? ({error}) If it is gone for good, delete {journal.path}*"
        return _kept(record, gone, failed=True)
    except (DeviceError, BadInput, OSError) as error:
        return _kept(record, str(error), failed=True)
    message = f"back at {record.original_limit_w:g} W" if wrote else "nothing to restore"
    if not record.of_this_boot:
        message = "nothing to restore: the machine was restarted since, which resets limits"
    if not forget:
        return _kept(record, f"{message}; a process that does not answer has its lock: watched until it ends")
    return _done(record, message)


def _take(claim: GpuClaim) -> bool:
    """Take the lock of all users; where there can be none, no other process has it."""
    try:
        return claim.take()
    except OSError as error:
        logger.warning("zeus-ray: restoring without the lock of all users: %s", error)
        return True


def _only_locked(record: JournalRecord, claim: GpuClaim) -> bool:
    """Whether the process with the lock of all users has changed nothing, and the GPU is at our limit.

    Any user can lock that file, and keep it; but whoever sets a limit leaves a note. No other process with
    this state folder has set it, as the caller has the lock of the GPU's own journal.
    """
    try:
        with contextlib.closing(open_gpu(record.source, record.uuid)) as gpu:
            now_w = read_limit(gpu, record.our_limits_w)
    except DeviceError:
        return False
    ours = any(same_limit(now_w, limit_w) for limit_w in record.our_limits_w)
    return ours and claim.noted_by_others(now_w) is None


def restore_remembered(record: JournalRecord, folder: Path) -> RestoreOutcome:
    """Restore the limit of a record whose journal was deleted, or cannot be trusted any more."""
    claim = GpuClaim(record.uuid, folder)
    if not _take(claim):
        return _kept(record, "another process is restoring or leasing it right now")
    try:
        wrote = _write_original(record)
    except NoDevice as error:
        return _done(record, f"nothing to restore: {error}")
    except (DeviceError, BadInput) as error:
        return _kept(record, str(error), failed=True)
    else:
        with contextlib.suppress(OSError):
            claim.note(record.original_limit_w, ())
    finally:
        claim.release()
    return _done(record, f"back at {record.original_limit_w:g} W" if wrote else "nothing to restore")


def _done(record: JournalRecord, message: str) -> RestoreOutcome:
    if not message.startswith("nothing"):
        logger.warning("zeus-ray: %s: %s", record.uuid, message)
    return RestoreOutcome(
        uuid=record.uuid, original_limit_w=record.original_limit_w, done=True, message=message
    )


def _write_original(record: JournalRecord) -> bool:
    gpu = open_gpu(record.source, record.uuid)
    try:
        return restore_original_limit(gpu, record.original_limit_w, record.our_limits_w)
    finally:
        gpu.close()


def _kept(record: JournalRecord, why: str, *, failed: bool = False) -> RestoreOutcome:
    return RestoreOutcome(
        uuid=record.uuid, original_limit_w=record.original_limit_w, done=False, message=why, failed=failed
    )
