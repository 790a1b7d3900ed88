"""What was found on a board and who holds it, on local disk before the first write to the board.

One JSON file and one lock file per board. Whoever holds the lock may set the limit, and must give it
back; the kernel lets go of the lock when its holder dies, and the next one finds the journal.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
from typing_extensions import Self

from zeus_ray.errors import BadInput
from zeus_ray.gpus.energy.readings import EnergyReading
from zeus_ray.leases.process import HolderProcess, boot_id

STATE_VARIABLE = "ZEUS_RAY_STATE_DIR"
VERSION = 1
ENDING = "json"
MEASURED = "measured"
"""Ending of the notes on leases that set nothing: there is nothing to give back, so no guard reads them."""

log = logging.getLogger("zeus_ray")


class OtherVersion(BadInput):
    """A journal of another version of zeus-ray: whatever it owes, only that version can give back."""


@dataclass(frozen=True, kw_only=True)
class LeaseEntry:
    """One lease: whose it is, the limit it set (None: none), and its energy and time.

    ``spent_j`` is what it was charged up to ``mark``, where the board's meter stood then, and ``spent_g``
    what that cost by ``footprint`` ("" for no price; nothing here reads it); ``marked_s`` is ``time.time()``
    then. ``profile``: the one by which its limit follows the grid ("": it does not; nothing here reads it).
    """

    lease_id: str
    holder: HolderProcess
    control: str
    limit_w: float | None
    origin_s: float
    spent_j: float
    err_j: float
    mark: EnergyReading
    shared: bool
    footprint: str = ""
    spent_g: float = 0.0
    marked_s: float = 0.0
    profile: str = ""


@dataclass(frozen=True, kw_only=True)
class JournalRecord:
    """What the journal of one board says.

    ``ours``: every limit we set or were about to set. ``keeper``: the process that wrote this.
    ``found_enforced_w`` and ``persistent`` tell an operator what else was found; neither is ever set.
    """

    uuid: str
    found_limit_w: float
    found_enforced_w: float
    persistent: bool | None
    ours: tuple[float, ...]
    keeper: HolderProcess
    entries: tuple[LeaseEntry, ...]
    boot_id: str = dataclasses.field(default_factory=boot_id)
    version: int = VERSION

    def live(self) -> tuple[LeaseEntry, ...]:
        """The leases whose process still runs."""
        if self.boot_id != boot_id():
            return ()
        return tuple(entry for entry in self.entries if entry.holder.alive())

    def keeper_alive(self) -> bool:
        """Whether the process that keeps the board still runs."""
        return self.boot_id == boot_id() and self.keeper.alive()

    def to_json(self) -> str:
        """Readable text: an operator may have to look."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Inverse of :meth:`to_json`. Raises OtherVersion, and BadInput for whatever else is no journal."""
        try:
            raw = json.loads(text)
            if isinstance(raw["version"], int) and raw["version"] != VERSION:
                raise OtherVersion(
                    f"journal version is {raw['version']}, this zeus-ray reads {VERSION}: "
                    "run `zeus-ray restore` of the version that wrote it"
                )
            return cls(
                **{
                    **raw,
                    "uuid": str(raw["uuid"]),
                    "found_limit_w": _amount(raw["found_limit_w"]),
                    "found_enforced_w": _amount(raw["found_enforced_w"]),
                    "ours": tuple(_amount(limit_w) for limit_w in raw["ours"]),
                    "keeper": _holder(raw["keeper"]),
                    "entries": tuple(_entry(entry) for entry in raw["entries"]),
                }
            )
        except BadInput:
            raise
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
            raise BadInput(f"this is no journal of zeus-ray: {error!r}") from error


def state_dir(env: Mapping[str, str] = os.environ) -> Path:
    """Where journals are kept: ``ZEUS_RAY_STATE_DIR``, or a folder of the user's that survives a restart."""
    return Path(env.get(STATE_VARIABLE) or f"/var/tmp/zeus-ray-{os.geteuid()}")  # noqa: S108 — see private_dir


def private_dir(path: Path) -> Path:
    """Make ``path`` for this user alone. Raises PermissionError where it is somebody else's."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return check_private(path)


def check_private(path: Path) -> Path:
    """``path``, which is there. Raises PermissionError where others own it or can write to it."""
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(
            f"{path} is not a folder of this user (uid {os.geteuid()}, owner {found.st_uid}): "
            f"run as its owner, or set {STATE_VARIABLE} to a folder of your own"
        )
    if found.st_mode & 0o022:
        raise PermissionError(f"{path} can be written by others: chmod 700 it")
    return path


class Journal:
    """Journal and lock of one board. Every method may raise OSError (disk full, folder not ours)."""

    def __init__(self, folder: Path, uuid: str, *, ending: str = ENDING) -> None:
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", uuid)
        self.path = folder / f"{safe}.{ending}"
        self._lock = filelock.FileLock(
            folder / f"{safe}.{ending}.lock",
            mode=0o600,
            thread_local=False,  # an actor leases in one thread and reaps in another
        )

    @property
    def locked(self) -> bool:
        """Whether the board is ours."""
        return self._lock.is_locked

    def lock(self, wait_s: float = 0.0) -> bool:
        """Take the board; False if another process has it, and still has it after ``wait_s``."""
        if self.locked:
            return True
        private_dir(self.path.parent)
        try:
            self._lock.acquire(timeout=wait_s)
        except filelock.Timeout:
            return False
        return True

    def unlock(self) -> None:
        """Let go of the board."""
        self._lock.release(force=True)

    def read(self) -> JournalRecord | None:
        """What it says; None where there is nothing. A file that is no journal is put aside, loudly.

        Raises OtherVersion: another version's, left where it is.
        """
        try:
            return JournalRecord.from_json(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OtherVersion:
            raise
        except BadInput as error:
            aside = self.path.with_suffix(".unreadable")
            log.error("zeus-ray: %s: %s; moved to %s, check the board's limit", self.path, error, aside)  # noqa: TRY400 — the trace adds nothing
            self.path.replace(aside)
            return None

    def write(self, record: JournalRecord) -> None:
        """Replace it, whole, and on the disk when this returns."""
        draft = self.path.with_suffix(".draft")
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            _write_all(file, record.to_json().encode())
            os.fsync(file)
        finally:
            os.close(file)
        draft.replace(self.path)
        self._sync_folder()

    def clear(self) -> None:
        """Nothing is left to give back."""
        self.path.unlink(missing_ok=True)
        self._sync_folder()

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _entry(raw: Mapping[str, Any]) -> LeaseEntry:
    mark = EnergyReading(**{name: _amount(value) for name, value in raw["mark"].items()})
    numbers = {name: _amount(raw[name]) for name in ("origin_s", "spent_j", "err_j")}
    limit_w = None if raw["limit_w"] is None else _amount(raw["limit_w"])
    return LeaseEntry(
        **{**raw, **numbers, "limit_w": limit_w, "holder": _holder(raw["holder"]), "mark": mark}
    )


def _holder(raw: Mapping[str, Any]) -> HolderProcess:
    return HolderProcess(
        **{
            **raw,
            "trial_id": str(raw["trial_id"]),
            "pid": int(raw["pid"]),
            "started_s": float(raw["started_s"]),
        }
    )


def _amount(value: object) -> float:
    """A number a board could have told: what was edited or damaged must not reach one."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r} where a number belongs")
    return float(value)


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
