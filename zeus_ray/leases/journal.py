"""The journal of one GPU: its original limit and its leases, on local disk before the first write to the GPU.

One JSON file and one lock file per GPU. The process that holds the lock may set the limit, and must restore
the original one; the kernel releases the lock when that process ends, and the next one finds the journal.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import filelock

from zeus_ray.errors import BadInput
from zeus_ray.gpus.energy.readings import EnergyReading
from zeus_ray.leases.process import HolderProcess, boot_id
from zeus_ray.leases.state_dir import make_private
from zeus_ray.records import from_json, to_json

JOURNAL_VERSION = 2
LIMIT_JOURNAL = "json"
"""Suffix of the journals that say which limit must be restored."""
MEASUREMENT_JOURNAL = "measured"
"""Suffix of the journals of leases that set no limit: a restarted process continues their energy."""

logger = logging.getLogger("zeus_ray")


class OtherVersion(BadInput):
    """A journal of another version of zeus-ray: only that version may change it, or restore its limit."""


@dataclass(frozen=True, kw_only=True)
class LeaseEntry:
    """One lease: its holder process, the limit it has set (None: none), its energy and its emissions.

    ``energy_j`` (J) is charged up to ``charged_to``, a reading of the GPU's meter at the wall clock time
    ``charged_to_s``; ``amount`` is what that energy emitted or cost, in the unit of ``emissions``, JSON of an
    :class:`EmissionsConfig` ("": it is not priced). ``profile``: JSON of the power profile by which the limit
    follows the grid ("": it does not).
    """

    lease_id: str
    holder: HolderProcess
    control: str
    limit_w: float | None
    start_s: float
    start_err_j: float
    energy_j: float
    charged_to: EnergyReading
    shared: bool
    emissions: str = ""
    amount: float = 0.0
    charged_to_s: float = 0.0
    profile: str = ""

    def __post_init__(self) -> None:
        """Raise BadInput for numbers that no GPU has reported."""
        numbers = (self.limit_w or 0.0, self.start_s, self.start_err_j, self.energy_j)
        _check_finite(*numbers, *dataclasses.astuple(self.charged_to))


@dataclass(frozen=True, kw_only=True)
class JournalRecord:
    """The content of one GPU's journal.

    ``source`` opens the GPU again (see ``ZEUS_RAY_GPU``). ``our_limits_w``: every limit that was set, or was
    about to be. ``manager``: the process that wrote this. ``original_enforced_w`` and ``persistent`` are for
    an operator to read; neither is ever set. A record of a newer version can be read, its unknown fields are
    ignored; see :meth:`check_version` before anything is changed.
    """

    __pydantic_config__: ClassVar[Mapping[str, object]] = {"strict": True}  # no "150" or true for a number

    uuid: str
    source: str
    original_limit_w: float
    original_enforced_w: float
    persistent: bool | None
    our_limits_w: tuple[float, ...]
    manager: HolderProcess
    entries: tuple[LeaseEntry, ...]
    boot_id: str
    version: int

    def __post_init__(self) -> None:
        """Raise BadInput for numbers that no GPU has reported."""
        _check_finite(self.original_limit_w, self.original_enforced_w, *self.our_limits_w)

    def check_version(self) -> None:
        """Raise OtherVersion unless this version of zeus-ray may restore the limit and replace the record."""
        if self.version != JOURNAL_VERSION:
            raise OtherVersion(
                f"journal version is {self.version}, this zeus-ray writes {JOURNAL_VERSION}: "
                "run `zeus-ray restore` of the version that wrote it"
            )

    def live(self) -> tuple[LeaseEntry, ...]:
        """The leases whose holder process still runs."""
        if self.boot_id != boot_id():
            return ()
        return tuple(entry for entry in self.entries if entry.holder.alive())

    def manager_alive(self) -> bool:
        """Whether the process that wrote this still runs."""
        return self.boot_id == boot_id() and self.manager.alive()

    def held_by(self) -> str:
        """The lease manager's process and its trials, for a message."""
        trials = ", ".join(entry.holder.trial_id for entry in self.entries)
        return f"process {self.manager.pid}, for {trials or 'no trial'}"


class Journal:
    """Journal and lock of one GPU. Every method may raise OSError (disk full, folder of another user)."""

    def __init__(self, folder: Path, uuid: str, *, suffix: str = LIMIT_JOURNAL) -> None:
        name = re.sub(r"[^A-Za-z0-9._-]", "_", uuid)
        self.path = folder / f"{name}.{suffix}"
        self._lock = filelock.FileLock(
            folder / f"{name}.{suffix}.lock",
            mode=0o600,
            thread_local=False,  # an actor leases in one thread and reaps in another
        )

    @property
    def locked(self) -> bool:
        """Whether this process holds the lock."""
        return self._lock.is_locked

    def lock(self, wait_s: float = 0.0) -> bool:
        """Take the lock; False if another process still holds it after ``wait_s``."""
        if self.locked:
            return True
        make_private(self.path.parent)
        try:
            self._lock.acquire(timeout=wait_s)
        except filelock.Timeout:
            return False
        return True

    def unlock(self) -> None:
        """Release the lock, if this process holds it."""
        self._lock.release(force=True)

    def read(self) -> JournalRecord | None:
        """The record; None if there is none. A file that is no record is moved aside, with a logged error.

        Raises:
            OtherVersion: it is a record of another version that this one cannot even read.
        """
        try:
            return parse_record(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OtherVersion:
            raise
        except BadInput as error:
            aside = self.path.with_suffix(".unreadable")
            logger.error("zeus-ray: %s: %s; moved to %s, check the GPU's limit", self.path, error, aside)  # noqa: TRY400 — the trace adds nothing
            self.path.replace(aside)
            return None

    def write(self, record: JournalRecord) -> None:
        """Replace the record atomically; it is on the disk when this returns."""
        draft = self.path.with_name(f"{self.path.name}.draft")
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            _write_all(file, to_json(record).encode())
            os.fsync(file)
        finally:
            os.close(file)
        draft.replace(self.path)
        self._sync_folder()

    def clear(self) -> None:
        """Delete the record: there is nothing left to restore."""
        self.path.unlink(missing_ok=True)
        self._sync_folder()

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def limit_journals(folder: Path) -> list[Path]:
    """The files of all GPUs in ``folder`` whose limit must be restored."""
    return sorted(folder.glob(f"*.{LIMIT_JOURNAL}"))


@dataclass(frozen=True)
class _Header:
    """What the records of all versions have."""

    version: int


def parse_record(text: str | bytes) -> JournalRecord:
    """A record from its JSON, of this version or of another one that has the same fields and more.

    Raises:
        OtherVersion: a record of another version, with other fields.
        BadInput: not a record.
    """
    try:
        return from_json(JournalRecord, text)
    except BadInput as error:
        version = from_json(_Header, text).version
        if version == JOURNAL_VERSION:
            raise
        raise OtherVersion(
            f"journal version is {version}, this zeus-ray reads {JOURNAL_VERSION}: "
            "run `zeus-ray restore` of the version that wrote it"
        ) from error


def _check_finite(*numbers: float) -> None:
    if not all(math.isfinite(number) for number in numbers):
        raise BadInput(f"{numbers} has a number that is not finite")


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
