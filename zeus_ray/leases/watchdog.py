"""A process outside Ray that gives limits back when everything that should have is dead.

Started before the first limit is set on a node, gone after the last lease; one per state folder. It
talks to nobody and listens to nobody: it reads the journals, looks whether their processes live, and
opens a board only to give its limit back. ``python -m zeus_ray.leases.watchdog FOLDER`` runs it in the
foreground, for a systemd unit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import filelock

from zeus_ray.leases.journal import VERSION, Journal, private_dir
from zeus_ray.leases.process import HolderProcess
from zeus_ray.leases.recovery import Restored, restore_one
from zeus_ray.records import NAN

LOOK_EVERY_S = 0.5
LINGER_S = 15.0
"""How long a guard without anything to guard waits before it leaves: the next trial is near."""
GIVE_UP_AFTER = 240
"""Looks (two minutes) after which a board that cannot be set is left to its journal."""
START_WITHIN_S = 5.0
NAME = f"guard-v{VERSION}"
"""Of its lock and pid files: each version of the journal has its own guard, who leaves the others' alone."""
SUBREAPER = "RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper"

# Two steps, so that the guard is no child of anything of Ray's: the first process ends at once and
# leaves the second to init, in a session of its own, with no stream that a dead parent could break.
LAUNCH = """
import subprocess, sys
subprocess.Popen(sys.argv[1:], start_new_session=True, cwd="/", stdin=subprocess.DEVNULL,
                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
"""

log = logging.getLogger("zeus_ray")


def ensure(folder: Path) -> bool:
    """Start the guard of ``folder`` unless it runs; whether it does then. Journal before you call it."""
    if running(folder) is not None:
        return True
    if subreaper_on():
        log.warning(
            "zeus-ray: %s kills the guard with the raylet: run it as a service (SECURITY.md)", SUBREAPER
        )
    package_root = str(Path(__file__).parents[2])
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH")))),
    }
    env.pop("CUDA_VISIBLE_DEVICES", None)
    command = [sys.executable, "-m", "zeus_ray.leases.watchdog", str(folder)]
    try:
        subprocess.run(  # noqa: S603 — our own; isolated, or a module of the user's could take a library's name
            [sys.executable, "-I", "-c", LAUNCH, *command], env=env, check=True, timeout=START_WITHIN_S
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning(
            "zeus-ray: no guard could be started (%s): limits are given back by this process alone", error
        )
        return False
    return _wait_for(folder)


def running(folder: Path) -> HolderProcess | None:
    """The guard of ``folder``, if it runs."""
    try:
        holder = HolderProcess(**json.loads((folder / f"{NAME}.pid").read_text()))
    except (OSError, ValueError, TypeError):  # none, or only half written yet
        return None
    return holder if holder.alive() else None


def subreaper_on() -> bool:
    """Whether Ray kills even the guard with the raylet: then an operator must run it as a service."""
    return os.environ.get(SUBREAPER, "").lower() in ("1", "true")


def watch(folder: Path) -> None:
    """Watchdog ``folder`` until nothing is left to guard. Returns at once if another guard does.

    Raises PermissionError where the folder is not this user's alone.
    """
    lock = filelock.FileLock(private_dir(folder) / f"{NAME}.lock", mode=0o600)
    try:
        lock.acquire(timeout=START_WITHIN_S)  # one that is just leaving may still hold it
    except filelock.Timeout:
        return
    one = Watchdog(folder)
    try:
        while True:
            one.say_so()
            one.run()
            one.unsay()
            if not one.journals():  # whoever journals now sees no guard, and starts one
                return
    finally:
        lock.release()


class Watchdog:
    """Looks at every journal, twice a second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._failed: dict[str, int] = {}

    def say_so(self) -> None:
        """Tell that a guard runs. On a full disk it guards unseen."""
        pid_file = self._folder / f"{NAME}.pid"
        try:
            pid_file.touch(mode=0o600)
            pid_file.write_text(json.dumps(dataclasses.asdict(HolderProcess.current("guard"))))
        except OSError as error:
            log.warning("zeus-ray: the guard cannot tell that it is there: %s", error)

    def unsay(self) -> None:
        """Tell that none does."""
        with contextlib.suppress(OSError):
            (self._folder / f"{NAME}.pid").unlink(missing_ok=True)

    def journals(self) -> list[Path]:
        """Those that have not been given up."""
        return [
            path
            for path in self._folder.glob("*.json")
            if self._failed.get(_edition(path), 0) <= GIVE_UP_AFTER
        ]

    def run(self) -> None:
        """Until there has been nothing to guard for a while."""
        idle_since_s = time.monotonic()
        while time.monotonic() - idle_since_s < LINGER_S:
            if self.look():
                idle_since_s = time.monotonic()
            time.sleep(LOOK_EVERY_S)

    def look(self) -> bool:
        """Give back what the dead left. Returns whether there is anything to guard."""
        waiting = False
        for path in self.journals():
            edition = _edition(path)
            became = self._restore(path.stem)
            if became is not None and not became.done:
                waiting = True
                self._failed[edition] = self._failed.get(edition, 0) + became.failed
        return waiting

    def _restore(self, name: str) -> Restored | None:
        try:
            return restore_one(Journal(self._folder, name))
        except Exception as error:  # whatever one journal or board does, the others are guarded
            log.exception("zeus-ray: guarding %s", name)
            return Restored(uuid=name, found_limit_w=NAN, done=False, said=str(error), failed=True)


def _edition(path: Path) -> str:
    """Which journal this is: one that was given up and written anew, for the next trial, is another."""
    try:
        found = path.stat()
    except OSError:
        return path.stem
    return f"{path.stem} {found.st_ino} {found.st_mtime_ns}"


def _wait_for(folder: Path) -> bool:
    """Until the guard is there: a limit set before it is would be unguarded."""
    until_s = time.monotonic() + START_WITHIN_S
    while time.monotonic() < until_s:
        if running(folder) is not None:
            return True
        time.sleep(0.01)
    log.warning("zeus-ray: the guard did not start within %g s", START_WITHIN_S)
    return False


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
