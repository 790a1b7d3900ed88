"""The journal of one GPU: its original limit and its leases, on local disk before the first write to the GPU.

A JSON file, a copy of it and a lock file per GPU. The process that holds the lock may set the limit, and must
restore the original one; the kernel releases the lock when that process ends, and the next one finds the
journal. Where the file is damaged or gone, the copy counts.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from zeus_ray.errors import BadInput
from zeus_ray.leases.file_lock_with_heartbeat import FileLock, answers, is_held
from zeus_ray.leases.journal_record import JournalRecord, OtherVersion, parse_record, write_record
from zeus_ray.leases.read_and_replace_files import read_file, replace_file, safe_name, set_aside
from zeus_ray.leases.state_dir import make_private

LIMIT_JOURNAL = "json"
"""Suffix of the journals that say which limit must be restored."""
MEASUREMENT_JOURNAL = "measured"
"""Suffix of the journals of leases that set no limit: a restarted process continues their energy."""
COPY = ".copy"


class Journal:
    """Journal and lock of one GPU. Every method may raise OSError (disk full, folder of another user)."""

    def __init__(self, folder: Path, uuid: str, *, suffix: str = LIMIT_JOURNAL) -> None:
        self.path = folder / f"{safe_name(uuid)}.{suffix}"
        self.copy_path = self.path.with_name(self.path.name + COPY)
        self._lock = FileLock(self.path.with_name(self.path.name + ".lock"))

    @property
    def locked(self) -> bool:
        """Whether this process holds the lock."""
        return self._lock.locked

    @property
    def intact(self) -> bool:
        """Whether the lock is held, and neither its file nor the folder was deleted or replaced."""
        return self._lock.intact()

    def lock(self, wait_s: float = 0.0) -> bool:
        """Take the lock; False if another process still holds it after ``wait_s``."""
        make_private(self.path.parent)
        if self._lock.locked and not self._lock.intact():
            self._lock.release()
        try:
            return self._lock.acquire(wait_s)
        except OSError:
            if not self._lock.path.exists() or self._lock.path.is_file():
                raise
            set_aside(self._lock.path, "it should be a lock file")
            return self._lock.acquire(wait_s)

    def unlock(self) -> None:
        """Release the lock, if this process holds it."""
        self._lock.release()

    def beat(self) -> None:
        """Show that the process that holds the lock answers."""
        self._lock.beat()

    def manager_answers(self, record: JournalRecord) -> bool:
        """Whether the process that wrote ``record`` runs, and has shown a moment ago that it works."""
        return record.manager_alive() and self.lock_answers

    @property
    def locked_by_any(self) -> bool:
        """Whether any process holds the lock."""
        return self._lock.locked or is_held(self._lock.path)

    @property
    def lock_answers(self) -> bool:
        """Whether the process that holds the lock, or held it last, has shown a moment ago that it works."""
        return answers(self._lock.path)

    @property
    def abandoned(self) -> bool:
        """Whether the lock was given up without a word: its process is another program now."""
        return self._lock.path.exists() and not self.lock_answers and not self.locked_by_any

    def exists(self) -> bool:
        """Whether there may be a record."""
        return os.path.lexists(self.path) or os.path.lexists(self.copy_path)

    def read(self) -> JournalRecord | None:
        """The record; None if there is none. What is no record of it is moved aside, with a logged error.

        Raises:
            OtherVersion: it is a record of another version that this one cannot even read.
        """
        return self._read(self.path) or self._read(self.copy_path)

    def _read(self, path: Path) -> JournalRecord | None:
        try:
            return _of_this_gpu(parse_record(read_file(path)), path)
        except FileNotFoundError:
            return None
        except OtherVersion:
            raise
        except (BadInput, IsADirectoryError) as error:
            with contextlib.suppress(FileNotFoundError):  # another process was quicker
                set_aside(path, error)
            return None

    def write(self, record: JournalRecord, *, sync: bool = True) -> None:
        """Replace the record atomically; it is on the disk when this returns.

        ``sync=False``: it survives the end of this process, and perhaps not a crash of the machine.
        """
        text = write_record(record)
        for path in (self.copy_path, self.path):  # the copy first: never older than the record itself
            if path.is_dir():
                set_aside(path, "it should be a journal")
            replace_file(path, text, sync=sync)
        if sync:
            self._sync_folder()

    def clear(self) -> None:
        """Delete the record: there is nothing left to restore."""
        for path in (self.copy_path, self.path):
            path.unlink(missing_ok=True)
        self._sync_folder()

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _of_this_gpu(record: JournalRecord, path: Path) -> JournalRecord:
    """Raises BadInput for a backup under another name: the GPU has a journal of its own."""
    if not path.name.startswith(f"{safe_name(record.uuid)}."):
        raise BadInput(f"it is a copy of the journal of {record.uuid}")
    return record


def limit_journals(folder: Path) -> list[Path]:
    """The files of all GPUs in ``folder`` whose limit must be restored; a file may be lost, its copy not."""
    names = {path.name.removesuffix(COPY) for path in folder.glob(f"*.{LIMIT_JOURNAL}*")}
    return sorted(folder / name for name in names if name.endswith(f".{LIMIT_JOURNAL}"))
