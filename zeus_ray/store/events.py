"""The events of a job or a search, one record per kind: asked, profile, outcome, lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from zeus_ray.records import Knobs, Outcome, PowerProfile, Target, TrialReport


class CurvePoint(NamedTuple):
    """One report of a run: the best metric so far, and what the run has used since it started.

    Attributes:
        epoch: samples seen / samples per epoch.
        metric: best value so far; NaN before the first.
        energy_j: over all GPUs and attempts (J).
        time_s: over all attempts (s).
    """

    epoch: float
    metric: float
    energy_j: float
    time_s: float


@dataclass(frozen=True, kw_only=True)
class ProcessInfo:
    """The process of a run.

    Attributes:
        machine: host, boot and container; a pid means nothing outside them.
        pid: process id.
        started_s: start time; tells a pid that was used again from the process before.
    """

    machine: str
    pid: int
    started_s: float


@dataclass(frozen=True, kw_only=True)
class RunAsked:
    """The search suggested a run of a recurring job.

    Attributes:
        knobs: the suggestion.
        process: where the run was asked for.
        default_batch_size: as configured at that time.
        gpu: the kind of GPU it was asked for; "" where unknown.
        gpus: GPUs of the run.
        energy_price: price of a joule in multiples of its long-run mean.
    """

    knobs: Knobs
    process: ProcessInfo
    default_batch_size: int
    gpu: str = ""
    gpus: int = 1
    energy_price: float = 1.0

    @property
    def run_id(self) -> str:
        """The run."""
        return self.knobs.run_id


@dataclass(frozen=True, kw_only=True)
class ProfileMeasured:
    """A run measured a power profile, or a part of one."""

    run_id: str
    profile: PowerProfile


@dataclass(frozen=True, kw_only=True)
class RunEnded:
    """A run ended, by itself, stopped, or with an error.

    Attributes:
        outcome: what the search was told.
        target: by which ``outcome.reached`` was judged; its value is None for the run that sets it.
        curve: the reports of the run, by rising epoch.
        report: the last report, without its profile.
    """

    outcome: Outcome
    target: Target
    curve: tuple[CurvePoint, ...] = ()
    report: TrialReport = field(default_factory=TrialReport)

    @property
    def run_id(self) -> str:
        """The run."""
        return self.outcome.knobs.run_id


@dataclass(frozen=True, kw_only=True)
class RunLost:
    """A run has no outcome: its process died, it was interrupted, or it never began.

    Attributes:
        run_id: the run.
        why: one clause for people.
        crashed: whether the batch size may be the cause, as with a process that died.
    """

    run_id: str
    why: str
    crashed: bool


Event = RunAsked | ProfileMeasured | RunEnded | RunLost

EVENT_KINDS: dict[str, type[Event]] = {
    "asked": RunAsked,
    "profile": ProfileMeasured,
    "outcome": RunEnded,
    "lost": RunLost,
}
"""The kinds as they are spelt in the names of stored events."""
