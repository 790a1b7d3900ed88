"""Starting the watchdog of a state folder, and whether it runs and answers."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zeus_ray.errors import BadInput
from zeus_ray.leases.file_lock_with_heartbeat import answers, is_held
from zeus_ray.leases.journal_record import JOURNAL_VERSION
from zeus_ray.leases.process import HolderProcess
from zeus_ray.leases.read_and_replace_files import read_file
from zeus_ray.records import from_json

WATCHDOG_START_TIMEOUT_S = 5.0
WATCHDOG_RETRY_S = 10.0
"""After a failed start none is tried for this long: it takes seconds, and each new limit would wait."""
WATCHDOG_NAME = f"watchdog-v{JOURNAL_VERSION}"
"""Of its lock file, its pid file and its log: each version of the journal has its own watchdog."""
STATUS_FILE = f"{WATCHDOG_NAME}.status"
SUBREAPER_VARIABLE = "RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper"
TOKEN_VARIABLE = "ZEUSD_TOKEN"  # noqa: S105 — the variable's name, not a token
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONHOME",
             "PYTHONDONTWRITEBYTECODE", "ZEUSD_SOCK_PATH")  # fmt: skip
PASSED_ON_PREFIXES = ("ZEUS_RAY_", "NVIDIA_", "FAKE_")
"""All that the watchdog needs of the environment, which may also hold tokens."""

# Two steps, so that the watchdog is no child of a Ray process: the first process ends at once and leaves
# the second to init, in a session of its own, without streams that could break. The token of zeusd comes
# through a pipe: an environment can be read by every process of the user for as long as the watchdog runs.
LAUNCH_SCRIPT = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], start_new_session=True, cwd="/", stdin=subprocess.PIPE,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
child.stdin.write(sys.stdin.buffer.read())
child.stdin.close()
"""

logger = logging.getLogger("zeus_ray")
_retry_at_s: dict[Path, float] = {}
_starting = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class WatchdogRecord:
    """The content of the watchdog's pid file."""

    process: HolderProcess
    version: int = JOURNAL_VERSION


@dataclass(frozen=True, kw_only=True)
class WatchdogStatus:
    """What the watchdog could not restore, and why, by the name of the journal."""

    problems: dict[str, str] = field(default_factory=dict)


def ensure_watchdog(folder: Path, *, wait: bool = True) -> bool:
    """Start the watchdog of ``folder`` unless it runs and answers. Call it after the journal is written.

    ``wait``: until it runs, or for some seconds.

    Returns:
        Whether it runs now. Where it does not, the cause is logged.
    """
    if running_watchdog(folder) is not None:
        return True
    if time.monotonic() < _retry_at_s.get(folder, 0.0) or not _starting.acquire(blocking=wait):
        return False
    try:
        if running_watchdog(folder) is None:
            _retry_at_s[folder] = time.monotonic() + WATCHDOG_RETRY_S
            if not _launch(folder) or (wait and not _wait_until_running(folder)):
                return False
            if wait:
                del _retry_at_s[folder]
    finally:
        _starting.release()
    return True


def running_watchdog(folder: Path) -> HolderProcess | None:
    """The process of the watchdog of ``folder``, if it runs and has answered a moment ago.

    Its lock tells, not its pid: in a container that shares the folder it has another one.
    """
    try:
        process = from_json(WatchdogRecord, read_file(folder / f"{WATCHDOG_NAME}.pid")).process
    except (OSError, BadInput):  # there is none, or it is just being written
        return None
    lock = watchdog_lock(folder)
    return process if answers(lock) and is_held(lock) else None


def watchdog_problems(folder: Path) -> dict[str, str]:
    """What the watchdog of ``folder`` could not restore when it looked last, and why."""
    try:
        return from_json(WatchdogStatus, read_file(folder / STATUS_FILE)).problems
    except (OSError, BadInput):
        return {}


def watchdog_lock(folder: Path) -> Path:
    """The lock file of the watchdog, which has its heartbeat."""
    return folder / f"{WATCHDOG_NAME}.lock"


def subreaper_enabled() -> bool:
    """Whether Ray kills even the watchdog with the raylet: then it must run as a service."""
    return os.environ.get(SUBREAPER_VARIABLE, "").lower() in ("1", "true")


def watchdog_environment(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a watchdog that is started from ``env``: no tokens, no GPUs hidden."""
    package_root = str(Path(__file__).parents[2])
    passed = {k: v for k, v in env.items() if k in PASSED_ON or k.startswith(PASSED_ON_PREFIXES)}
    secret = ("TOKEN", "SECRET", "PASSWORD", "KEY")
    passed = {k: v for k, v in passed.items() if not any(word in k.upper() for word in secret)}
    path = os.pathsep.join(filter(None, (package_root, env.get("PYTHONPATH"))))
    return {**passed, "PYTHONPATH": path}


def _launch(folder: Path) -> bool:
    if subreaper_enabled():
        logger.warning(
            "zeus-ray: %s kills the watchdog with the raylet: run it as a service (SECURITY.md)",
            SUBREAPER_VARIABLE,
        )
    command = [sys.executable, "-m", "zeus_ray.leases.watchdog", str(folder)]
    try:
        subprocess.run(  # noqa: S603 — isolated, or a module of the user's could shadow a library
            [sys.executable, "-I", "-c", LAUNCH_SCRIPT, *command],
            env=watchdog_environment(),
            input=os.environ.get(TOKEN_VARIABLE, "").encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=WATCHDOG_START_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("zeus-ray: no watchdog (%s): limits are restored by this process alone", error)
        return False
    return True


def _wait_until_running(folder: Path) -> bool:
    """Wait for the watchdog: a limit that is set earlier would not be watched."""
    until_s = time.monotonic() + WATCHDOG_START_TIMEOUT_S
    while time.monotonic() < until_s:
        if running_watchdog(folder) is not None:
            return True
        time.sleep(0.01)
    logger.warning("zeus-ray: the watchdog did not start within %g s", WATCHDOG_START_TIMEOUT_S)
    return False
