"""What a recurring job has done so far: its runs, what they used, and what that has saved."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from statistics import fmean
from typing import TYPE_CHECKING

from zeus_ray.quantity_format import UNKNOWN, counted, energy, percent, seconds, three_digits
from zeus_ray.records import (
    NAN,
    Knobs,
    Outcome,
    PowerProfile,
    ProfilePoint,
    StopReason,
    TrialReport,
)
from zeus_ray.records.window_usage import windows_from_json
from zeus_ray.reporting.search_effort_sentences import how_measured
from zeus_ray.reporting.window_table import WindowSums, sum_windows, window_table
from zeus_ray.store.event_log import LoggedEvent
from zeus_ray.store.events import ProfileMeasured, RunAsked, RunEnded, RunLost

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

RUN_HEADINGS = (
    "Asked (UTC)",
    "Batch\nsize",
    "Limit\nW",
    "Epochs",
    "Energy",
    "Time",
    "Metric",
    "Why it ended",
)
"""Of the table of runs."""


@dataclass(frozen=True, kw_only=True)
class LoggedRun:
    """One run of the job, as the log has it.

    Attributes:
        asked_at_s: when it was asked for (s since 1970).
        asked: what was asked for.
        end: None while it runs.
    """

    asked_at_s: float
    asked: RunAsked
    end: RunEnded | RunLost | None = None

    @property
    def knobs(self) -> Knobs:
        """What it ran with."""
        return self.asked.knobs

    @property
    def outcome(self) -> Outcome | None:
        """What the search was told; None while it runs, and where it was lost."""
        return self.end.outcome if isinstance(self.end, RunEnded) else None

    @property
    def report(self) -> TrialReport:
        """Its last report; all unknown where there is none."""
        return self.end.report if isinstance(self.end, RunEnded) else TrialReport()

    @property
    def reached(self) -> bool:
        """Whether it trained to the target."""
        return self.outcome is not None and self.outcome.reached

    @property
    def energy_j(self) -> float:
        """What the whole run used (J); NaN where unknown."""
        return self.report.energy_j

    def start_j(self, epoch_j: float) -> float:
        """Energy before training began (J): that up to the first report, less the epochs until then.

        Args:
            epoch_j: energy of one epoch on all GPUs of the run, at the limit in force until then.
        """
        first = self.end.curve[0] if isinstance(self.end, RunEnded) and self.end.curve else None
        beside_j = first.energy_j - first.epoch * epoch_j if first is not None else NAN
        return beside_j if beside_j > 0 else 0.0

    @property
    def why_ended(self) -> str:
        """Why it ended, for people."""
        if self.end is None:
            return "running, or its end was not seen"
        if isinstance(self.end, RunLost):
            return self.end.why
        own = StopReason.TARGET_REACHED.value if self.reached else "ended by itself"
        return self.end.outcome.stop or own


@dataclass(frozen=True, kw_only=True)
class JobSummary:
    """All runs, oldest first.

    Attributes:
        job: the name of the job.
        runs: also those that were stopped, failed or were lost.
        default_batch_size: as configured in the newest run.
        default_j: energy (J) of one training with the default batch size at the highest limit, by kind of
            GPU; NaN where no training has ended.
    """

    job: str
    runs: tuple[LoggedRun, ...]
    default_batch_size: int
    default_j: dict[str, float]

    @property
    def trained(self) -> list[LoggedRun]:
        """The runs that reached the target."""
        return [run for run in self.runs if run.reached]

    @property
    def spent_j(self) -> float:
        """Energy of all runs as far as it was measured (J), also of those that were stopped or failed."""
        joules = [run.energy_j for run in self.runs if not math.isnan(run.energy_j)]
        return math.fsum(joules) if joules else NAN

    @property
    def default_would_take_j(self) -> float:
        """Energy of as many trainings with the default (J); NaN where it is unknown for a kind of GPU."""
        known = [self.default_j.get(run.report.gpu, NAN) for run in self.trained]
        return math.fsum(known) if known else NAN

    @property
    def saved_j(self) -> float:
        """The difference (J), all exploration included; negative while it has not paid off."""
        return self.default_would_take_j - self.spent_j

    @property
    def windows(self) -> WindowSums:
        """The named windows of all runs, added up by name."""
        return sum_windows(windows_from_json(run.report.windows) for run in self.runs)

    def sentences(self) -> list[str]:
        """The summary for people, one sentence a line."""
        if not self.runs:
            return [f"{self.job} has not run yet."]
        trained, sizes = len(self.trained), len({run.knobs.batch_size for run in self.runs})
        unknown = sum(run.outcome is None or math.isnan(run.energy_j) for run in self.runs)
        runs, at = counted(len(self.runs), "run"), counted(sizes, "batch size")
        lines = [
            f"{self.job}: {runs}, {trained} of them to the target, at {at}.",
            f"They took {energy(self.spent_j)} in all" + (f"; {unknown} have no figure." if unknown else "."),
            self.savings_sentence(),
        ]
        measured = [run.report for run in self.runs if run.outcome is not None]
        by, gpus = {r.measured_by for r in measured}, {r.gpu for r in measured} - {""}
        return [*lines, how_measured(sorted(by), sorted(gpus))]

    def savings_sentence(self) -> str:
        """What the job has saved so far against its default."""
        default = f"the default (batch size {self.default_batch_size} at the highest limit)"
        if math.isnan(self.saved_j):
            return f"What {default} would have taken is not known: it has no profile on these GPUs yet."
        share = self.saved_j / self.default_would_take_j
        word = "saved" if share >= 0 else "spent more"
        would_take = energy(self.default_would_take_j)
        return (
            f"For {counted(len(self.trained), 'training')} {default} would have taken about {would_take}, "
            f"start of the process included: {energy(abs(self.saved_j))} ({percent(share)}) {word} so far, "
            "exploring included."
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """For ``rich.print``: the table and the sentences."""
        from rich import box  # noqa: PLC0415 — only what is shown needs rich
        from rich.table import Table  # noqa: PLC0415 — likewise
        from rich.text import Text  # noqa: PLC0415 — likewise

        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style="bold")
        for heading in RUN_HEADINGS[:-1]:
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column(RUN_HEADINGS[-1])
        for run in self.runs:
            table.add_row(*(Text(cell) for cell in run_cells(run)))
        yield table
        if self.windows.runs:
            yield window_table(self.windows)
        yield from (Text(sentence) for sentence in self.sentences())


def summarize(events: Iterable[LoggedEvent], job: str) -> JobSummary:
    """The runs of a job, from its log alone."""
    known = list(events)
    ends = {e.event.run_id: e.event for e in known if isinstance(e.event, RunEnded | RunLost)}
    runs = tuple(
        LoggedRun(asked_at_s=e.at_s, asked=e.event, end=ends.get(e.event.run_id))
        for e in known
        if isinstance(e.event, RunAsked)
    )
    if not runs:
        return JobSummary(job=job, runs=(), default_batch_size=0, default_j={})
    newest = runs[-1].asked
    default = newest.default_batch_size
    of_default = [run for run in runs if run.reached and run.knobs.batch_size == default]
    default_j = {
        profile.gpu: _default_j(profile, of_default, newest.gpus)
        for profile in merged_profiles(known)
        if profile.batch_size == default
    }
    return JobSummary(job=job, runs=runs, default_batch_size=default, default_j=default_j)


def merged_profiles(events: Iterable[LoggedEvent]) -> list[PowerProfile]:
    """One profile per kind of GPU and batch size; a later measurement of a limit replaces an earlier one."""
    measured = [e.event.profile for e in events if isinstance(e.event, ProfileMeasured)]
    newest = {(profile.gpu, profile.batch_size): profile for profile in measured}
    points: dict[tuple[str, int], dict[float, ProfilePoint]] = {key: {} for key in newest}
    for profile in measured:
        points[profile.gpu, profile.batch_size].update({p.power_limit_w: p for p in profile.points})
    return [
        PowerProfile(
            batch_size=profile.batch_size,
            gpu=profile.gpu,
            max_power_w=profile.max_power_w,
            points=tuple(points[key].values()),
        )
        for key, profile in newest.items()
    ]


def _default_j(profile: PowerProfile, runs: list[LoggedRun], gpus: int) -> float:
    """Energy of one training with the default at the highest limit of a kind of GPU (J).

    From runs on that kind whose limit was set from the start: what they used, in the proportion of the
    profile. Else epochs to the target times an epoch of the profile, evaluation not included. Both with the
    start of the process, which every run has at any limit and no epoch of the profile has. NaN where no run
    has ended.
    """
    epochs_j = {p.power_limit_w: p.average_power_w * p.time_per_epoch_s for p in profile.points}
    epoch_j = {limit_w: joules for limit_w, joules in epochs_j.items() if 0 < joules < math.inf}
    if not epoch_j:
        return NAN
    highest_j = epoch_j[max(epoch_j)]
    used = []
    for run in runs:
        limit_w = run.report.power_limit_w
        if run.knobs.power_limit_w is not None and run.report.gpu == profile.gpu and limit_w in epoch_j:
            start_j = run.start_j(epoch_j[limit_w] * gpus)
            used.append(start_j + (run.energy_j - start_j) * highest_j / epoch_j[limit_w])
    by_epochs = [
        run.start_j(highest_j * gpus) + run.outcome.epochs * highest_j * gpus
        for run in runs
        if run.outcome is not None and run.outcome.epochs > 0
    ]
    known = [joules for joules in used or by_epochs if not math.isnan(joules)]
    return fmean(known) if known else NAN


def _metric(run: LoggedRun) -> str:
    if not isinstance(run.end, RunEnded) or math.isnan(run.end.outcome.metric):
        return UNKNOWN
    return run.end.target.text(run.end.outcome.metric)


def run_cells(run: LoggedRun) -> tuple[str, ...]:
    """A run as texts, in the order of :data:`RUN_HEADINGS`."""
    report, outcome = run.report, run.outcome
    return (
        f"{datetime.fromtimestamp(run.asked_at_s, timezone.utc):%Y-%m-%d %H:%M}",
        str(run.knobs.batch_size),
        UNKNOWN if math.isnan(report.power_limit_w) else f"{report.power_limit_w:.0f}",
        three_digits(outcome.epochs if outcome else NAN),
        energy(report.energy_j),
        seconds(report.time_s),
        _metric(run),
        run.why_ended,
    )
