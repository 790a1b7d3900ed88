"""Give back what the dead left, by the journals alone: by the guard, or by hand (``zeus-ray restore``)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zeus_ray.errors import BadInput, DeviceError, NoDevice
from zeus_ray.gpus.discovery import open_board, power_control
from zeus_ray.gpus.protocol import Gpu
from zeus_ray.leases.journal import Journal, JournalRecord, OtherVersion, check_private, state_dir
from zeus_ray.leases.limit_owner import restore
from zeus_ray.records import NAN

log = logging.getLogger("zeus_ray")


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What became of one journal. ``done``: nothing is owed to this board any more.

    ``failed``: it was tried, and the board, the disk or the journal refused. ``found_limit_w`` is NaN where
    the journal does not tell.
    """

    uuid: str
    found_limit_w: float
    done: bool
    said: str
    failed: bool = False


def restore_all(
    folder: Path | None = None, *, force: bool = False, open_gpu: Callable[[str], Gpu] | None = None
) -> list[Restored]:
    """Give back every limit that was left behind on this node.

    Args:
        folder: where the journals are (default: see :func:`journal.state_dir`).
        force: also take boards from trials that still run; they go on without their limit.
        open_gpu: opens a board by UUID (default: NVML).
    """
    folder = folder or state_dir()
    try:
        if folder.exists():
            check_private(folder)  # what others can write is not what we wrote
    except OSError as error:
        return [unrestored(str(folder), error)]
    journals = [Journal(folder, path.stem) for path in sorted(folder.glob("*.json"))]
    found = [restore_one(journal, force=force, open_gpu=open_gpu) for journal in journals]
    return [one for one in found if one is not None]


def restore_one(
    journal: Journal, *, force: bool = False, open_gpu: Callable[[str], Gpu] | None = None
) -> Restored | None:
    """Give back what one journal says, unless somebody still holds the board. None: it says nothing."""
    try:
        return _unless_held(journal, force, open_gpu)
    except (OtherVersion, OSError) as error:
        return unrestored(journal.path.stem, error)


def _unless_held(journal: Journal, force: bool, open_gpu: Callable[[str], Gpu] | None) -> Restored | None:
    record = journal.read()
    if record is None:
        return None
    if power_control() == "off":
        return _left(record, "power control is off")
    held = _held(record)
    if held and not force:
        return _left(record, held)
    if not journal.lock() and not force:
        return _left(record, "another process is at it just now")
    try:
        return _give_back(journal, force, open_gpu)
    finally:
        if journal.locked:
            journal.unlock()


def _give_back(journal: Journal, force: bool, open_gpu: Callable[[str], Gpu] | None) -> Restored | None:
    record = journal.read()  # again: it may have changed before the lock was ours
    if record is None:
        return None
    held = _held(record)
    if held and not force:
        return _left(record, held)
    try:
        gpu = open_gpu(record.uuid) if open_gpu else open_board("nvml", record.uuid)
        try:
            wrote = restore(gpu, record.found_limit_w, record.ours)
        finally:
            gpu.close()
        journal.clear()
    except NoDevice as error:
        gone = f"not on this node any more? ({error}) If it is gone for good, delete {journal.path}"
        return _left(record, gone, failed=True)
    except (DeviceError, BadInput, OSError) as error:
        return _left(record, str(error), failed=True)
    said = f"back at {record.found_limit_w:g} W" if wrote else "nothing to give back"
    log.warning("zeus-ray: %s: %s", record.uuid, said)
    return Restored(uuid=record.uuid, found_limit_w=record.found_limit_w, done=True, said=said)


def _held(record: JournalRecord) -> str:
    """Who still sees to this board, "" if nobody does: without a lease, its keeper gave up on it."""
    live = record.live()
    trials = ", ".join(f"trial {e.holder.trial_id} (process {e.holder.pid})" for e in live) or "nobody alive"
    if record.entries and record.keeper_alive() and record.keeper.pid != os.getpid():
        return f"process {record.keeper.pid} keeps it for {trials} and gives it back; --force takes it now"
    return f"held by {trials}, and given back when that ends; --force takes it now" if live else ""


def unrestored(name: str, error: Exception) -> Restored:
    """What is said where a journal, or a whole node, could not be asked."""
    return Restored(uuid=name, found_limit_w=NAN, done=False, said=str(error), failed=True)


def _left(record: JournalRecord, why: str, *, failed: bool = False) -> Restored:
    return Restored(uuid=record.uuid, found_limit_w=record.found_limit_w, done=False, said=why, failed=failed)
