"""The watchdog: a process outside Ray that restores power limits when the processes that should do not.

One per state folder, started before the first limit is set on a node; it ends after the last lease. It
opens no socket: it reads the journals, checks whether their processes run and answer, and opens a GPU only to
restore its limit: in a process of its own with a deadline, so that a GPU that hangs delays no other. It never
gives up, and logs to a file. ``python -m zeus_ray.leases.watchdog FOLDER`` runs it in the foreground.
"""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from zeus_ray.errors import BadInput
from zeus_ray.gpus.discovery import power_control
from zeus_ray.gpus.registry import load_source
from zeus_ray.leases.ended_lease_usage import EndedLease
from zeus_ray.leases.file_lock_with_heartbeat import ANSWERS_WITHIN_S, FileLock, answers
from zeus_ray.leases.journal_and_lock_of_one_gpu import Journal, limit_journals
from zeus_ray.leases.journal_record import JournalRecord, OtherVersion
from zeus_ray.leases.leases_and_their_energy_shares import amount_field
from zeus_ray.leases.limit_lock_and_note_of_all_users import LimitNote
from zeus_ray.leases.process import HolderProcess
from zeus_ray.leases.read_and_replace_files import replace_file, set_aside
from zeus_ray.leases.recovery import (
    RestoreOutcome,
    restore_journal,
    restore_remembered,
    unrestored,
    why_held,
)
from zeus_ray.leases.restore_attempts import RestoreAttempts
from zeus_ray.leases.state_dir import check_private, make_private
from zeus_ray.leases.watchdog_start_and_status import (
    STATUS_FILE,
    TOKEN_VARIABLE,
    WATCHDOG_NAME,
    WatchdogRecord,
    WatchdogStatus,
    watchdog_lock,
)
from zeus_ray.records import from_json, to_json

WATCHDOG_PERIOD_S = 0.5
WATCHDOG_LINGER_S = 15.0
"""How long a watchdog without journals waits before it ends: the next trial may start soon."""
LOCK_STEP_S = 0.1
LOG_BYTES = 256 * 1024

logger = logging.getLogger("zeus_ray")


def run_watchdog(folder: Path) -> None:
    """Watch ``folder`` until it has no journal. Returns at once if another watchdog runs and answers.

    Raises:
        PermissionError: the folder is not this user's alone.
    """
    make_private(folder)
    _warm_up()
    lock = _take_lock(folder)
    if lock is None:
        return
    watchdog = Watchdog(folder, lock)
    try:
        while watchdog.run():
            watchdog.remove_pid()
            lock.release()
            if not watchdog.check() or not lock.acquire():  # who journals from now on starts another
                return
    finally:
        watchdog.remove_pid()
        lock.release()


def _warm_up() -> None:
    """Import all that is needed later: the package's folder may be gone by then."""
    load_source("nvml")
    import zeus_ray.gpus.zeusd  # noqa: F401, PLC0415 — likewise

    for kind in (JournalRecord, RestoreOutcome, WatchdogRecord, WatchdogStatus, LimitNote, EndedLease):
        with contextlib.suppress(BadInput):
            from_json(kind, "{}")
    with contextlib.suppress(BadInput):
        amount_field("{}")


def _take_lock(folder: Path) -> FileLock | None:
    """The lock of the watchdog; also from one that is stopped. None: another one runs."""
    lock = FileLock(watchdog_lock(folder))
    try:
        taken = lock.acquire()
    except OSError:
        set_aside(lock.path, "it should be a lock file")
        taken = lock.acquire()
    until_s = time.monotonic() + 2 * WATCHDOG_PERIOD_S
    while not taken and answers(lock.path) and time.monotonic() < until_s:
        taken = lock.acquire(LOCK_STEP_S)  # one that is about to end may still hold it
    if not taken and not answers(lock.path):
        lock.replace()  # when that one goes on, it sees that its lock is not the lock now
        taken = True
    return lock if taken else None


@dataclass(frozen=True)
class SeenRecord:
    """What a journal said when it was read last, at ``seen_s``."""

    record: JournalRecord
    seen_s: float

    @property
    def has_process(self) -> bool:
        """Whether a process lives that will restore the limit, or write the journal again."""
        manager_lives = self.record.manager_alive() and self.record.manager.pid != os.getpid()
        return bool(self.record.live()) or (bool(self.record.entries) and manager_lives)


class Watchdog:
    """Restores the limits of journals whose processes have ended or do not answer; it checks twice a second.

    It remembers what the journals said. That counts where they were deleted, or cannot be trusted any more.

    Args:
        folder: the state folder.
        lock: the watchdog's own; it shows that the watchdog answers.
    """

    def __init__(self, folder: Path, lock: FileLock | None = None) -> None:
        self._folder = folder
        self._lock = lock
        self._pid_file = folder / f"{WATCHDOG_NAME}.pid"
        self._pid_inode = 0
        self._seen: dict[str, SeenRecord] = {}
        self._attempts = RestoreAttempts(here=lock is None, done=lambda name: self._seen.pop(name, None))
        self._checked_s = time.monotonic()
        self._status = WatchdogStatus()
        self._warned = ""

    # --- its lock and its files ----------------------------------------------------------------------

    def run(self) -> bool:
        """Check until nothing was to be watched for ``WATCHDOG_LINGER_S``.

        Returns:
            False where it has to end at once: another watchdog has taken its place, or its folder is gone
            and nothing is owed.
        """
        idle_since_s = time.monotonic()
        while time.monotonic() - idle_since_s < WATCHDOG_LINGER_S:
            if self._lock is not None:
                self._lock.beat()
                if not self._lock.intact() and not self._take_place_again(self._lock):
                    return False
                if self._lock.intact():
                    self.write_pid()
            if self._check_whatever_happens():
                idle_since_s = time.monotonic()
            time.sleep(WATCHDOG_PERIOD_S)
        return True

    def _take_place_again(self, lock: FileLock) -> bool:
        """The folder or the lock was deleted: make them and the journals again.

        Returns:
            Whether to go on: without a place, too, as long as a limit is owed.
        """
        if time.monotonic() - self._checked_s > ANSWERS_WITHIN_S:
            return False  # this one was stopped, and another one has taken its place long ago
        if not self._seen and not self._folder.exists():
            return False
        try:
            make_private(self._folder)
            for name, seen in self._seen.items():
                journal = Journal(self._folder, name)
                if not journal.exists() and journal.lock():
                    journal.write(seen.record)
                    journal.unlock()
            lock.release()
            return lock.acquire()
        except OSError as error:
            self._warn(f"{self._folder} was deleted or replaced, and cannot be made again: {error}")
            return bool(self._seen)

    def write_pid(self) -> None:
        """Write the pid file, unless it is there. On a full disk the watchdog runs without one."""
        with contextlib.suppress(OSError):
            if self._pid_file.lstat().st_ino == self._pid_inode:
                return
        self._write(self._pid_file, to_json(WatchdogRecord(process=HolderProcess.current("watchdog"))))
        with contextlib.suppress(OSError):
            self._pid_inode = self._pid_file.lstat().st_ino

    def remove_pid(self) -> None:
        """Remove the pid file, unless it is another watchdog's."""
        with contextlib.suppress(OSError):
            if self._lock is not None and self._lock.intact():
                self._pid_file.unlink(missing_ok=True)

    def _write(self, path: Path, text: str) -> None:
        try:
            replace_file(path, text.encode())
        except OSError as error:
            self._warn(f"the watchdog cannot write {path}: {error}")

    def _warn(self, message: str) -> None:
        """Log a message, unless it was the last one."""
        if message != self._warned:
            logger.warning("zeus-ray: %s", message)
        self._warned = message

    # --- the journals ----------------------------------------------------------------------------------

    def _check_whatever_happens(self) -> bool:
        try:
            return self.check()
        except Exception as error:  # noqa: BLE001 — such as no memory: what is owed stays owed
            self._warn(f"the watchdog cannot check, and tries again: {type(error).__name__}: {error}")
            return True

    def check(self) -> bool:
        """Restore what can be restored now. Returns whether a limit remains to be watched."""
        self._checked_s = time.monotonic()
        try:
            check_private(self._folder)
            kept = {path.stem for path in limit_journals(self._folder)}
            trusted = True
        except OSError:
            kept, trusted = set(), False
        names = sorted(kept | set(self._seen))
        remaining = [name for name in names if self._check_one(name, kept=name in kept, trusted=trusted)]
        self._attempts.keep_only({*kept, *self._seen})
        self._show_status()
        return bool(remaining)

    def _check_one(self, name: str, *, kept: bool, trusted: bool) -> bool:
        """Look at one limit; begin or end an attempt to restore it. Returns whether it remains.

        Args:
            name: of the journal.
            kept: whether there is a journal.
            trusted: whether the folder is this user's alone.
        """
        try:
            if self._attempts.busy(name):
                return True
            owed = self._is_owed(name) if kept else self._is_still_owed(name, trusted=trusted)
            if not owed:
                return owed is None
            seen = self._seen[name]
            restore = (
                partial(restore_journal, Journal(self._folder, name))
                if kept
                else partial(restore_remembered, seen.record, self._folder)
            )
            self._attempts.begin(name, partial(_outcome, name, restore))
        except OtherVersion:
            return False  # the watchdog of that version restores it
        except Exception as error:  # noqa: BLE001 — an error with one journal must not stop the others
            self._attempts.failed(name, str(error) or type(error).__name__)
            return True
        return not (self._lock is None and name not in self._seen)

    def _is_owed(self, name: str) -> bool | None:
        """Whether the limit should be restored now; None: not yet, False: there is no journal."""
        journal = Journal(self._folder, name)
        try:
            record = journal.read()
        except OSError:
            if name not in self._seen:
                raise
            return self._is_still_owed(name, trusted=False)
        if record is None:
            return False
        self._seen[name] = SeenRecord(record, time.monotonic())
        record.check_version()
        if power_control() == "off" or why_held(journal, record):
            self._attempts.held(name)
            return None
        return True

    def _is_still_owed(self, name: str, *, trusted: bool) -> bool | None:
        """As :meth:`_is_owed`, of a limit whose journal is gone, or is not trusted any more.

        Its lease may have ended as it should: the manager deletes the journal, and gives back its lock.
        """
        seen = self._seen[name]
        if not seen.record.our_limits_w or not seen.record.of_this_boot:
            del self._seen[name]
            return False
        if power_control() == "off":
            return None
        if not seen.has_process:
            return True
        if not trusted or Journal(self._folder, name).locked_by_any:
            return None
        if time.monotonic() - seen.seen_s > 2 * ANSWERS_WITHIN_S:
            del self._seen[name]
        return False

    def _show_status(self) -> None:
        """Write why limits could not be restored, for ``doctor``."""
        status = WatchdogStatus(problems=self._attempts.problems)
        if status != self._status:
            self._status = status
            self._write(self._folder / STATUS_FILE, to_json(status))


def _outcome(name: str, restore: Callable[[], RestoreOutcome | None]) -> RestoreOutcome | None:
    try:
        return restore()
    except Exception as error:
        logger.exception("zeus-ray: restoring %s", name)
        return unrestored(name, error)


def main(folder: Path) -> None:
    """Run the watchdog of ``folder``, with a log file there."""
    token = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read().strip()
    if token:
        os.environ[TOKEN_VARIABLE] = token
    logging.raiseExceptions = False  # a full disk must not stop it
    with contextlib.suppress(OSError):
        make_private(folder)
        path = folder / f"{WATCHDOG_NAME}.log"
        if os.path.lexists(path) and not path.is_file():
            set_aside(path, "it should be a log file")
        log = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, delay=True)
        log.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
        logger.addHandler(log)
    os.umask(0o077)
    run_watchdog(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
