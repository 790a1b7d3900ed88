"""The watchdog: a process outside Ray that restores power limits when the processes that should have ended.

One per state folder, started before the first limit is set on a node; it ends after the last lease. It
opens no socket: it reads the journals, checks whether their processes run, and opens a GPU only to restore
its limit. ``python -m zeus_ray.leases.watchdog FOLDER`` runs it in the foreground, for a systemd unit.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import filelock

from zeus_ray.errors import BadInput
from zeus_ray.leases.journal import JOURNAL_VERSION, Journal, limit_journals
from zeus_ray.leases.process import HolderProcess
from zeus_ray.leases.recovery import RestoreOutcome, restore_journal
from zeus_ray.leases.state_dir import make_private
from zeus_ray.records import NAN, from_json, to_json

WATCHDOG_PERIOD_S = 0.5
WATCHDOG_LINGER_S = 15.0
"""How long a watchdog without journals waits before it ends: the next trial may start soon."""
RESTORE_ATTEMPTS = 240
"""Attempts (two minutes) after which a limit that cannot be restored is left to its journal."""
WATCHDOG_START_TIMEOUT_S = 5.0
WATCHDOG_RETRY_S = 60.0
"""After a failed start none is tried for this long: it takes seconds, and each new limit would wait."""
WATCHDOG_NAME = f"watchdog-v{JOURNAL_VERSION}"
"""Of the lock file and the pid file: each version of the journal has its own watchdog."""
SUBREAPER_VARIABLE = "RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper"

# Two steps, so that the watchdog is no child of a Ray process: the first process ends at once and leaves
# the second to init, in a session of its own, without streams that could break.
LAUNCH_SCRIPT = """
import subprocess, sys
subprocess.Popen(sys.argv[1:], start_new_session=True, cwd="/", stdin=subprocess.DEVNULL,
                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
"""

logger = logging.getLogger("zeus_ray")
_retry_at_s: dict[Path, float] = {}


@dataclass(frozen=True, kw_only=True)
class WatchdogRecord:
    """The content of the watchdog's pid file."""

    process: HolderProcess
    version: int = JOURNAL_VERSION


def ensure_watchdog(folder: Path) -> bool:
    """Start the watchdog of ``folder`` unless it runs. Call it after the journal is written.

    Returns:
        Whether it runs now. Where it does not, the cause is logged.
    """
    if running_watchdog(folder) is not None:
        return True
    if time.monotonic() < _retry_at_s.get(folder, 0.0):
        return False
    if _start(folder):
        return True
    _retry_at_s[folder] = time.monotonic() + WATCHDOG_RETRY_S
    return False


def running_watchdog(folder: Path) -> HolderProcess | None:
    """The process of the watchdog of ``folder``, if it runs."""
    try:
        process = from_json(WatchdogRecord, (folder / f"{WATCHDOG_NAME}.pid").read_bytes()).process
    except (OSError, BadInput):  # there is none, or it is just being written
        return None
    return process if process.alive() else None


def subreaper_enabled() -> bool:
    """Whether Ray kills even the watchdog with the raylet: then it must run as a service."""
    return os.environ.get(SUBREAPER_VARIABLE, "").lower() in ("1", "true")


def run_watchdog(folder: Path) -> None:
    """Watch ``folder`` until it has no journal. Returns at once if another watchdog runs.

    Raises:
        PermissionError: the folder is not this user's alone.
    """
    lock = filelock.FileLock(make_private(folder) / f"{WATCHDOG_NAME}.lock", mode=0o600)
    try:
        lock.acquire(timeout=WATCHDOG_START_TIMEOUT_S)  # one that is about to end may still hold it
    except filelock.Timeout:
        return
    watchdog = Watchdog(folder)
    try:
        while True:
            watchdog.write_pid()
            watchdog.run()
            watchdog.remove_pid()
            if not watchdog.journals():  # a process that journals from now on sees no pid, and starts another
                return
    finally:
        lock.release()


class Watchdog:
    """Restores the limits of journals whose processes have ended; it checks them twice a second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pid_file = folder / f"{WATCHDOG_NAME}.pid"
        self._failures: dict[str, int] = {}

    def write_pid(self) -> None:
        """Write the pid file. On a full disk the watchdog runs without one."""
        try:
            self._pid_file.touch(mode=0o600)
            self._pid_file.write_text(to_json(WatchdogRecord(process=HolderProcess.current("watchdog"))))
        except OSError as error:
            logger.warning("zeus-ray: the watchdog cannot write its pid file: %s", error)

    def remove_pid(self) -> None:
        """Remove the pid file."""
        with contextlib.suppress(OSError):
            self._pid_file.unlink(missing_ok=True)

    def journals(self) -> list[Path]:
        """The journals that have not been given up."""
        return [
            path
            for path in limit_journals(self._folder)
            if self._failures.get(_file_version(path), 0) <= RESTORE_ATTEMPTS
        ]

    def run(self) -> None:
        """Check until there has been no journal for ``WATCHDOG_LINGER_S``."""
        idle_since_s = time.monotonic()
        while time.monotonic() - idle_since_s < WATCHDOG_LINGER_S:
            if self.check():
                idle_since_s = time.monotonic()
            time.sleep(WATCHDOG_PERIOD_S)

    def check(self) -> bool:
        """Restore what can be restored now. Returns whether a journal remains to be watched."""
        remaining = False
        for path in self.journals():
            file_version = _file_version(path)
            outcome = self._restore(path.stem)
            if outcome is not None and not outcome.done:
                remaining = True
                self._failures[file_version] = self._failures.get(file_version, 0) + outcome.failed
        return remaining

    def _restore(self, name: str) -> RestoreOutcome | None:
        try:
            return restore_journal(Journal(self._folder, name))
        except Exception as error:  # an error with one journal or GPU must not stop the others
            logger.exception("zeus-ray: restoring %s", name)
            return RestoreOutcome(
                uuid=name, original_limit_w=NAN, done=False, message=str(error), failed=True
            )


def _file_version(path: Path) -> str:
    """Identifies a journal's content: one that was given up and is written anew is watched again."""
    try:
        found = path.stat()
    except OSError:
        return path.stem
    return f"{path.stem} {found.st_ino} {found.st_mtime_ns}"


def _start(folder: Path) -> bool:
    if subreaper_enabled():
        logger.warning(
            "zeus-ray: %s kills the watchdog with the raylet: run it as a service (SECURITY.md)",
            SUBREAPER_VARIABLE,
        )
    package_root = str(Path(__file__).parents[2])
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH")))),
    }
    env.pop("CUDA_VISIBLE_DEVICES", None)
    command = [sys.executable, "-m", "zeus_ray.leases.watchdog", str(folder)]
    try:
        subprocess.run(  # noqa: S603 — isolated, or a module of the user's could shadow a library
            [sys.executable, "-I", "-c", LAUNCH_SCRIPT, *command],
            env=env,
            check=True,
            timeout=WATCHDOG_START_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("zeus-ray: no watchdog (%s): limits are restored by this process alone", error)
        return False
    return _wait_until_running(folder)


def _wait_until_running(folder: Path) -> bool:
    """Wait for the watchdog: a limit that is set earlier would not be watched."""
    until_s = time.monotonic() + WATCHDOG_START_TIMEOUT_S
    while time.monotonic() < until_s:
        if running_watchdog(folder) is not None:
            return True
        time.sleep(0.01)
    logger.warning("zeus-ray: the watchdog did not start within %g s", WATCHDOG_START_TIMEOUT_S)
    return False


if __name__ == "__main__":
    run_watchdog(Path(sys.argv[1]))
