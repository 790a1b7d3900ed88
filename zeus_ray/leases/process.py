"""Who a lease is for: a trial, and the process whose end ends the lease."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
from typing_extensions import Self

GONE = ("Z", "X")
"""Process states of the dead: a zombie holds nothing any more, though its pid is still taken."""


@dataclass(frozen=True, kw_only=True)
class HolderProcess:
    """A trial and its process. ``started_s`` tells a pid that was used again from the old one."""

    trial_id: str
    pid: int
    started_s: float

    @classmethod
    def current(cls, trial_id: str) -> Self:
        """This process, for ``trial_id``."""
        return cls(trial_id=trial_id, pid=os.getpid(), started_s=_started_s(os.getpid()) or 0.0)

    def alive(self) -> bool:
        """Whether that very process still runs."""
        return _started_s(self.pid) == self.started_s


def boot_id() -> str:
    """Differs after every start of the machine ("" where the system does not tell)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started_s(pid: int) -> float | None:
    """When a process began; None if it is gone. On Linux since boot: no wall clock, so it may jump."""
    if not sys.platform.startswith("linux"):
        return _started_by_psutil_s(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the command's name before it may hold anything
    return None if fields[0] in GONE else int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _started_by_psutil_s(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None
