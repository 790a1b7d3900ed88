"""Runs of a job that will not end any more: their process is gone, or was silent for too long."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from zeus_ray.leases.process import HolderProcess, boot_id
from zeus_ray.store.event_log import LoggedEvent
from zeus_ray.store.events import ProcessInfo, RunAsked, RunEnded, RunLost

SILENT_S, SILENT_FIRST_S = 3600.0, 86_400.0
TIMES_THE_LONGEST = 3.0
"""A run on another machine is given up after three times the longest so far, an hour at least; a day
where none has ended yet. Should it end after all, its end counts."""


def find_lost_runs(events: Iterable[LoggedEvent], ours: Container[str]) -> Iterator[RunLost]:
    """The runs that will not be told, and why.

    Args:
        events: the log of the job.
        ours: run ids under way in this process, which are not lost.
    """
    asked: dict[str, tuple[float, RunAsked]] = {}
    over, longest_s = set(), 0.0
    for logged in events:
        event = logged.event
        if isinstance(event, RunAsked):
            asked[event.run_id] = logged.at_s, event
        elif isinstance(event, RunEnded | RunLost):
            over.add(event.run_id)
        if isinstance(event, RunEnded) and event.run_id in asked:
            longest_s = max(longest_s, logged.at_s - asked[event.run_id][0])
    patience_s = max(SILENT_S, TIMES_THE_LONGEST * longest_s) if longest_s else SILENT_FIRST_S
    for run_id, (at_s, event) in asked.items():
        why = _why_lost(event.process, at_s, patience_s) if run_id not in over and run_id not in ours else ""
        if why:
            yield RunLost(run_id=run_id, why=why, crashed=True)


def this_process() -> ProcessInfo:
    """This process, as other processes of the job may look for it."""
    current = HolderProcess.current("")
    return ProcessInfo(machine=_machine(), pid=current.pid, started_s=current.started_s)


def is_alive(process: ProcessInfo) -> bool | None:
    """Whether a process runs; None where it cannot be seen from here."""
    if process.machine != _machine():
        return None
    return HolderProcess(trial_id="", pid=process.pid, started_s=process.started_s).alive()


def _why_lost(process: ProcessInfo, asked_at_s: float, patience_s: float) -> str:
    """Why a run that has not ended will not end any more; "" while it may."""
    alive = is_alive(process)
    if alive is False:
        return "its process is gone"
    silent_s = time.time() - asked_at_s
    if alive is None and silent_s > patience_s:
        return f"no event from its machine for {silent_s / 3600:.1f} h"
    return ""


def _machine() -> str:
    try:
        container = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        container = os.name
    return f"{platform.node()} {boot_id()} {container}"
