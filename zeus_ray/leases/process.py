"""The process that a lease is for: the lease ends when the process does."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from typing_extensions import Self

ENDED_STATES = ("Z", "X")
"""States of ``/proc/PID/stat`` in which a process has ended, though its pid is still taken."""


@dataclass(frozen=True, kw_only=True)
class HolderProcess:
    """A trial and its process. ``started_s`` distinguishes the process from a later one with the same pid."""

    trial_id: str
    pid: int
    started_s: float

    @classmethod
    def current(cls, trial_id: str) -> Self:
        """This process, for ``trial_id``."""
        return cls(trial_id=trial_id, pid=os.getpid(), started_s=_own_start_time_s(os.getpid()))

    def alive(self) -> bool:
        """Whether this process still runs, and not just one with its pid. Yes, where that cannot be told."""
        try:
            return _start_time_s(self.pid) == self.started_s
        except OSError:  # no file can be opened just now
            return True


@contextlib.contextmanager
def proof_of_process() -> Iterator[str]:
    """A word by which another process can see that this one speaks: the name of one of its threads.

    A process can name its own threads only. On systems without ``/proc`` the word proves nothing.
    """
    word = f"z{secrets.token_hex(7)}"
    named, over = threading.Event(), threading.Event()

    def hold() -> None:
        with contextlib.suppress(OSError):
            Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(word)
        named.set()
        over.wait()

    threading.Thread(target=hold, name="zeus-ray-proof", daemon=True).start()
    named.wait()
    try:
        yield word
    finally:
        over.set()


def is_proven(holder: HolderProcess, word: str) -> bool:
    """Whether ``holder`` shows ``word``: whoever got it from there speaks for that process."""
    if not sys.platform.startswith("linux"):
        return True
    for comm in Path(f"/proc/{holder.pid}/task").glob("*/comm"):
        with contextlib.suppress(OSError):
            if comm.read_text().strip() == word:
                return holder.alive()
    return False


def boot_id() -> str:
    """Differs after each start of the machine; "" on systems that have none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@functools.lru_cache(maxsize=1)
def _own_start_time_s(pid: int) -> float:
    """Asked once, as later no file might be opened."""
    return _start_time_s(pid) or 0.0


def _start_time_s(pid: int) -> float | None:
    """When a process started; None if it has ended. On Linux since boot: independent of the wall clock.

    Raises:
        OSError: that cannot be told, as where the calling process has opened all files that it may.
    """
    if not sys.platform.startswith("linux"):
        return _start_time_by_psutil_s(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the command's name before it may contain anything
    return None if fields[0] in ENDED_STATES else int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _start_time_by_psutil_s(pid: int) -> float | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None
