"""What leases had used when their processes ended without releasing them: kept for the next attempt.

An append-only file in the state folder, written by whoever finds the journal of an ended process: the next
lease manager, the watchdog, ``zeus-ray restore``.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zeus_ray.errors import BadInput
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.leases.journal_record import JournalRecord, LeaseEntry
from zeus_ray.leases.leases_and_their_energy_shares import amount_field
from zeus_ray.leases.read_and_replace_files import read_file, set_aside
from zeus_ray.records import NAN, from_json, to_json

ENDED_FILE = "ended-leases.jsonl"
ENDED_BYTES = 1 << 19
"""A longer file loses its first half: some thousand leases ago."""

logger = logging.getLogger("zeus_ray")


@dataclass(frozen=True, kw_only=True)
class EndedLease:
    """A lease, and what it had used when it was journalled last."""

    lease_id: str
    reading: Reading


def keep_ended_leases(folder: Path, record: JournalRecord) -> None:
    """Keep what the leases of ended processes in ``record`` have used. A full disk is logged."""
    live = {entry.lease_id for entry in record.live()}
    keep_readings(folder, {e.lease_id: _last_reading(e) for e in record.entries if e.lease_id not in live})


def keep_readings(folder: Path, readings: dict[str, Reading]) -> None:
    """Keep the last readings of leases by their ids; what is kept already stays. A full disk is logged."""
    try:
        known = {ended.lease_id for ended in _kept(folder)} if readings else set()
        lines = [to_json(EndedLease(lease_id=i, reading=r)) for i, r in readings.items() if i not in known]
        if lines:
            _append(folder / ENDED_FILE, lines)
    except OSError as error:
        logger.warning("zeus-ray: what ended leases have used cannot be kept: %s", error)


def ended_lease(folder: Path, lease_id: str) -> Reading | None:
    """What a lease had used when its process ended; None where that is not known."""
    with contextlib.suppress(OSError):
        return next((ended.reading for ended in _kept(folder) if ended.lease_id == lease_id), None)
    return None


def _kept(folder: Path) -> Iterator[EndedLease]:
    try:
        lines = read_file(folder / ENDED_FILE, 4 * ENDED_BYTES).splitlines()
    except (FileNotFoundError, IsADirectoryError):
        return
    for line in lines:
        with contextlib.suppress(BadInput):  # torn, as by a full disk
            yield from_json(EndedLease, line)


def _append(path: Path, lines: Iterable[str]) -> None:
    """Append lines. They begin on a line of their own, whatever the last writer has left."""
    if os.path.lexists(path) and (path.is_symlink() or not path.is_file()):
        set_aside(path, "it should be a list of ended leases")
    if path.exists() and path.stat().st_size > ENDED_BYTES:
        with path.open("rb") as kept:
            kept.seek(-ENDED_BYTES // 2, os.SEEK_END)
            half = kept.read(ENDED_BYTES).partition(b"\n")[2]
        draft = path.with_name(f"{path.name}.draft")
        draft.write_bytes(half)
        draft.replace(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    file = os.open(path, flags, 0o600)
    try:
        size = os.fstat(file).st_size
        torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
        text = ("\n" if torn else "") + "".join(f"{line}\n" for line in lines)
        os.write(file, text.encode())
    finally:
        os.close(file)


def _last_reading(entry: LeaseEntry) -> Reading:
    unit = amount_field(entry.emissions) if entry.emissions else ""
    return Reading(
        energy_j=entry.energy_j,
        time_s=max(0.0, entry.charged_to.at_s - entry.start_s),
        power_limit_w=entry.limit_w or NAN,
        shared=entry.shared,
        energy_j_err=(
            entry.start_err_j + entry.charged_to.err_j + entry.charged_to.drift_j - entry.start_drift_j
        ),
        carbon_g=entry.amount if unit == "carbon_g" else NAN,
        price=entry.amount if unit == "price" else NAN,
    )
