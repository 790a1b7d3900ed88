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
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from zeus_ray.errors import BadInput
from zeus_ray.gpus.discovery import power_control
from zeus_ray.gpus.registry import load_source
from zeus_ray.leases.ended_lease_usage import EndedLease
from zeus_ray.leases.file_lock import ANSWERS_WITHIN_S, FileLock, answers
from zeus_ray.leases.journal import Journal, limit_journals
from zeus_ray.leases.journal_record import JournalRecord, OtherVersion
from zeus_ray.leases.lease_table import amount_field
from zeus_ray.leases.limit_lock_of_all_users import LimitNote
from zeus_ray.leases.process import HolderProcess
from zeus_ray.leases.recovery import RestoreOutcome, restore_journal, unrestored, why_held
from zeus_ray.leases.state_dir import make_private, set_aside
from zeus_ray.leases.watchdog_start import (
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
RESTORE_WITHIN_S = 4.0
"""A GPU that takes longer hangs: its process is killed, and another one tries again."""
RETRY_S, RETRY_SLOWLY_S, SLOWLY_AFTER = 0.5, 5.0, 20
"""Seconds between attempts, and after how many the longer ones begin; there is no last attempt."""
LOCK_STEP_S = 0.1
LOG_BYTES = 256 * 1024

logger = logging.getLogger("zeus_ray")


def run_watchdog(folder: Path) -> None:
    """Watch ``folder`` until it has no journal. Returns at once if another watchdog runs and answers.

    Raises:
        PermissionError: the folder is not this user's alone.
    """
    make_private(folder)
    lock = _take_lock(folder)
    if lock is None:
        return
    watchdog = Watchdog(folder, lock)
    _warm_up()
    try:
        while True:
            watchdog.write_pid()
            watchdog.run()
            watchdog.remove_pid()
            if not lock.intact() and not watchdog.take_new_folder():
                return
            if not watchdog.check():  # who journals from now on sees no pid, and starts another
                return
    finally:
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
        lock.path.unlink(missing_ok=True)  # when that one goes on, it sees that its lock is not the lock now
        taken = lock.acquire()
    return lock if taken else None


@dataclass
class RestoreAttempt:
    """The attempts to restore one GPU's limit: the one that runs now, and how the earlier ones went."""

    pid: int = 0
    pipe: int = -1
    until_s: float = 0.0
    failures: int = 0
    next_s: float = 0.0
    message: str = ""


class Watchdog:
    """Restores the limits of journals whose processes have ended or do not answer; it checks twice a second.

    Args:
        folder: the state folder.
        lock: the watchdog's own; it shows that the watchdog answers.
    """

    def __init__(self, folder: Path, lock: FileLock | None = None) -> None:
        self._folder = folder
        self._lock = lock
        self._pid_file = folder / f"{WATCHDOG_NAME}.pid"
        self._attempts: dict[str, RestoreAttempt] = {}
        self._records: dict[str, JournalRecord] = {}
        self._seen_s: dict[str, float] = {}
        self._checked_s = time.monotonic()
        self._status = WatchdogStatus()

    def take_new_folder(self) -> bool:
        """The folder or the lock was deleted: write the journals again, unless another watchdog has begun."""
        if time.monotonic() - self._checked_s > ANSWERS_WITHIN_S:
            return False  # this one was stopped, and another one has taken its place long ago
        records = dict(self._records)
        try:
            make_private(self._folder)
            for name, record in records.items():
                journal = Journal(self._folder, name)
                if not journal.exists() and journal.lock():
                    journal.write(record)
                    journal.unlock()
            if self._lock is None:
                return True
            self._lock.release()
            return self._lock.acquire()
        except OSError as error:
            logger.warning("zeus-ray: %s was deleted, and cannot be made: %s", self._folder, error)
            return True

    def write_pid(self) -> None:
        """Write the pid file. On a full disk the watchdog runs without one."""
        record = WatchdogRecord(process=HolderProcess.current("watchdog"))
        self._write(self._pid_file, to_json(record))

    def remove_pid(self) -> None:
        """Remove the pid file."""
        with contextlib.suppress(OSError):
            self._pid_file.unlink(missing_ok=True)

    def run(self) -> None:
        """Check until there has been no journal for ``WATCHDOG_LINGER_S``, or the folder is another one."""
        idle_since_s = time.monotonic()
        while time.monotonic() - idle_since_s < WATCHDOG_LINGER_S:
            if self._lock is not None:
                self._lock.beat()
            if self.check():
                idle_since_s = time.monotonic()
            if self._lock is not None and not self._lock.intact():
                return
            time.sleep(WATCHDOG_PERIOD_S)

    def check(self) -> bool:
        """Restore what can be restored now. Returns whether a limit remains to be watched."""
        lost = self._lock is not None and not self._lock.intact()
        names = {path.stem for path in limit_journals(self._folder)}
        if lost:
            return bool(names)
        self._checked_s = time.monotonic()
        for name in set(self._records) - names:  # ended, or the folder is just being deleted
            if time.monotonic() - self._seen_s.get(name, 0.0) > 2 * ANSWERS_WITHIN_S:
                del self._records[name]
        for name in set(self._attempts) - names:
            if not self._attempts[name].pid:
                del self._attempts[name]
        remaining = [name for name in sorted(names) if self._look(name)]
        self._show_status()
        return bool(remaining)

    def _look(self, name: str) -> bool:
        """Look at one journal; begin or end an attempt to restore. Returns whether it remains."""
        attempt = self._attempts.setdefault(name, RestoreAttempt())
        if attempt.pid:
            return self._collect(name, attempt)
        if time.monotonic() < attempt.next_s:
            return True
        try:
            owed = self._is_owed(name, attempt)
        except OtherVersion:
            owed = False  # the watchdog of that version restores it
        except Exception as error:  # noqa: BLE001 — an error with one journal must not stop the others
            self._failed(name, attempt, str(error))
            owed = None
        if not owed:
            return owed is None
        if self._lock is None:  # in the process of someone who waits for the outcome
            return self._end(name, attempt, _restore(self._folder, name))
        self._begin(name, attempt)
        return True

    def _is_owed(self, name: str, attempt: RestoreAttempt) -> bool | None:
        """Whether the limit should be restored now; None: not yet, False: there is no journal."""
        journal = Journal(self._folder, name)
        record = journal.read()
        if record is None:
            return False
        self._records[name], self._seen_s[name] = record, time.monotonic()
        record.check_version()
        if power_control() == "off" or why_held(journal, record):
            attempt.failures, attempt.message = 0, ""
            return None
        return True

    # --- one attempt, in a process of its own --------------------------------------------------------

    def _begin(self, name: str, attempt: RestoreAttempt) -> None:
        read, write = os.pipe()
        attempt.pid, attempt.pipe = os.fork(), read
        attempt.until_s = time.monotonic() + RESTORE_WITHIN_S
        if attempt.pid:
            os.close(write)
            return
        try:
            outcome = _restore(self._folder, name)
            os.write(write, to_json(outcome).encode()[:4000] if outcome else b"")
        finally:
            os._exit(0)

    def _collect(self, name: str, attempt: RestoreAttempt) -> bool:
        """End an attempt that is over, or takes too long. Returns whether the journal remains."""
        if not os.waitpid(attempt.pid, os.WNOHANG)[0]:
            if time.monotonic() > attempt.until_s:
                os.kill(attempt.pid, signal.SIGKILL)
                attempt.until_s = time.monotonic() + RETRY_SLOWLY_S
                self._failed(name, attempt, f"the GPU does not answer within {RESTORE_WITHIN_S:g} s")
            return True
        with os.fdopen(attempt.pipe, "rb") as pipe:
            text = pipe.read()
        attempt.pid = 0
        try:
            return self._end(name, attempt, from_json(RestoreOutcome, text) if text else None)
        except BadInput as error:
            self._failed(name, attempt, str(error))
            return True

    def _end(self, name: str, attempt: RestoreAttempt, outcome: RestoreOutcome | None) -> bool:
        """An attempt is over. Returns whether the journal remains. None: the attempt was killed."""
        attempt.next_s = max(attempt.next_s, time.monotonic() + RETRY_S)
        if outcome is None:
            return True
        if outcome.done:
            logger.warning("zeus-ray: %s: %s", outcome.uuid, outcome.message)
            del self._attempts[name]
            return False
        if outcome.failed:
            self._failed(name, attempt, outcome.message)
        else:
            attempt.message = outcome.message
        return True

    def _failed(self, name: str, attempt: RestoreAttempt, message: str) -> None:
        attempt.failures += 1
        attempt.next_s = time.monotonic() + (RETRY_SLOWLY_S if attempt.failures > SLOWLY_AFTER else RETRY_S)
        if message != attempt.message:
            logger.warning("zeus-ray: %s is not restored, and tried again: %s", name, message)
        attempt.message = message

    def _show_status(self) -> None:
        """Write why limits could not be restored, for ``doctor``."""
        status = WatchdogStatus(problems={n: a.message for n, a in self._attempts.items() if a.message})
        if status != self._status:
            self._status = status
            self._write(self._folder / STATUS_FILE, to_json(status))

    def _write(self, path: Path, text: str) -> None:
        draft = path.with_name(f"{path.name}.draft")
        try:
            file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "w") as opened:
                opened.write(text)
            draft.replace(path)
        except OSError as error:
            logger.warning("zeus-ray: the watchdog cannot write %s: %s", path, error)


def _restore(folder: Path, name: str) -> RestoreOutcome | None:
    try:
        return restore_journal(Journal(folder, name))
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
        log = logging.handlers.RotatingFileHandler(
            folder / f"{WATCHDOG_NAME}.log", maxBytes=LOG_BYTES, backupCount=1, delay=True
        )
        log.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
        logger.addHandler(log)
    os.umask(0o077)
    run_watchdog(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
