"""What a recurring job has done so far: its runs, what they took, and what that saved."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from statistics import fmean
from typing import TYPE_CHECKING

from zeus_ray.decide import power
from zeus_ray.decide.profiles import Profiles
from zeus_ray.records import NAN, Knobs, Outcome, PowerProfile, StopReason, TrialReport, from_json, from_plain
from zeus_ray.reporting.savings import how_measured
from zeus_ray.store.event_log import ASK, END, LOST, PROFILE, Event
from zeus_ray.units import UNKNOWN, counted, energy, percent, seconds, three_digits

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

RUNNING = "running, or its end was not seen"


@dataclass(frozen=True, kw_only=True)
class PastRun:
    """One run of the job. ``outcome`` is None while it runs, and where it was lost."""

    run: str
    at_s: float
    knobs: Knobs
    ended: str
    outcome: Outcome | None = None
    report: TrialReport = dataclasses.field(default_factory=TrialReport)

    @property
    def reached(self) -> bool:
        """Whether it trained to the target."""
        return self.outcome is not None and self.outcome.reached

    @property
    def energy_j(self) -> float:
        """What the whole run took; NaN where nobody knows."""
        return self.report.energy_j


@dataclass(frozen=True, kw_only=True)
class Past:
    """All runs, oldest first.

    ``default_j``: one training of the default batch size at the highest limit of its board (J), by
    kind of GPU; see :func:`_default_j`.
    """

    job: str
    runs: tuple[PastRun, ...]
    default_batch_size: int
    default_j: dict[str, float]

    @property
    def trained(self) -> list[PastRun]:
        """The runs that reached the target."""
        return [run for run in self.runs if run.reached]

    @property
    def spent_j(self) -> float:
        """What all runs took, as far as it was measured: also those that were stopped or failed."""
        joules = [run.energy_j for run in self.runs if not math.isnan(run.energy_j)]
        return math.fsum(joules) if joules else NAN

    @property
    def default_would_take_j(self) -> float:
        """What the default would have taken for as many trainings; NaN where a kind of GPU has no figure."""
        known = [self.default_j.get(run.report.gpu, NAN) for run in self.trained]
        return math.fsum(known) if known else NAN

    @property
    def saved_j(self) -> float:
        """The difference, all exploring included; negative while it has not paid."""
        return self.default_would_take_j - self.spent_j

    def sentences(self) -> list[str]:
        """All of it in plain words."""
        if not self.runs:
            return [f"{self.job} has not run yet."]
        trained, sizes = len(self.trained), len({run.knobs.batch_size for run in self.runs})
        unknown = sum(run.outcome is None or math.isnan(run.energy_j) for run in self.runs)
        runs, at = counted(len(self.runs), "run"), counted(sizes, "batch size")
        lines = [
            f"{self.job}: {runs}, {trained} of them to the target, at {at}.",
            f"They took {energy(self.spent_j)} in all" + (f"; {unknown} left no figure." if unknown else "."),
            self._saved_in_words(),
        ]
        measured = [run.report for run in self.runs if run.outcome is not None]
        by, gpus = {r.measured_by for r in measured}, {r.gpu for r in measured} - {""}
        return [*lines, how_measured(sorted(by), sorted(gpus))]

    def _saved_in_words(self) -> str:
        default = f"the default (batch size {self.default_batch_size} at the highest limit)"
        if math.isnan(self.saved_j):
            return f"What {default} would have taken is not known: it has no profile on these GPUs yet."
        share = self.saved_j / self.default_would_take_j
        word = "saved" if share >= 0 else "spent more"
        return (
            f"For {counted(len(self.trained), 'training')} {default} would have taken about "
            f"{energy(self.default_would_take_j)}: {energy(abs(self.saved_j))} ({percent(share)}) {word} "
            "so far, exploring included."
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """For ``rich.print``: the table and the sentences."""
        from rich import box  # noqa: PLC0415 — only what is shown needs rich
        from rich.table import Table  # noqa: PLC0415 — likewise
        from rich.text import Text  # noqa: PLC0415 — likewise

        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), header_style="bold")
        for heading in (
            "Began (timezone.utc)",
            "Batch\nsize",
            "Limit\nW",
            "Epochs",
            "Energy",
            "Time",
            "Metric",
        ):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("Why it ended")
        for run in self.runs:
            table.add_row(*(Text(cell) for cell in _cells(run)))
        yield table
        yield from (Text(sentence) for sentence in self.sentences())


def past(events: Iterable[Event], job: str) -> Past:
    """The past of a job, from its events alone. The default is what it was in the newest run."""
    known = list(events)
    ends = {event.run: event for event in known if event.kind in (END, LOST)}
    asks = [event for event in known if event.kind == ASK]
    runs = tuple(_run(event, ends.get(event.run)) for event in asks)
    default = int(asks[-1].body["default_batch_size"]) if asks else 0
    gpus = int(asks[-1].body["gpus"]) if asks else 1
    profiles = profiles_in(known)
    of_default = [run for run in runs if run.reached and run.knobs.batch_size == default]
    default_j = {p.gpu: _default_j(p, of_default, gpus) for p in profiles.all() if p.batch_size == default}
    return Past(job=job, runs=runs, default_batch_size=default, default_j=default_j)


def profiles_in(events: Iterable[Event]) -> Profiles:
    """The profiles of a history."""
    return Profiles(from_json(PowerProfile, e.body["profile"]) for e in events if e.kind == PROFILE)


def _default_j(profile: PowerProfile, runs: list[PastRun], gpus: int) -> float:
    """One training of the default at the highest limit of a kind of GPU (J); NaN where none has ended.

    From runs on that kind whose limit stood from the start: what they took, in the proportion of the
    profile. Else epochs to the target times an epoch of the profile, evaluation not included.
    """
    epoch_j = {limit_w: power_w * time_s for limit_w, power_w, time_s in power.measured_points(profile)}
    highest_j = epoch_j[max(epoch_j)]
    taken = [
        run.energy_j * highest_j / epoch_j[run.report.power_limit_w]
        for run in runs
        if run.knobs.power_limit_w is not None
        and run.report.gpu == profile.gpu
        and run.report.power_limit_w in epoch_j
    ]
    epochs = [run.outcome.epochs for run in runs if run.outcome is not None and run.outcome.epochs > 0]
    by_epochs = [n * highest_j * gpus for n in epochs]
    known = [joules for joules in taken or by_epochs if not math.isnan(joules)]
    return fmean(known) if known else NAN


def _run(ask: Event, end: Event | None) -> PastRun:
    asked = PastRun(run=ask.run, at_s=ask.at_s, knobs=from_plain(Knobs, ask.body["knobs"]), ended=RUNNING)
    if end is None:
        return asked
    if end.kind == LOST:
        return dataclasses.replace(asked, ended=str(end.body["why"]))
    outcome = from_plain(Outcome, end.body["outcome"])
    ended = StopReason.TARGET_REACHED.value if outcome.reached else "ended by itself"
    return dataclasses.replace(
        asked, ended=outcome.stop or ended, outcome=outcome, report=TrialReport(**end.body["report"])
    )


def _cells(run: PastRun) -> tuple[str, ...]:
    report, outcome = run.report, run.outcome
    return (
        f"{datetime.fromtimestamp(run.at_s, timezone.utc):%Y-%m-%d %H:%M}",
        str(run.knobs.batch_size),
        UNKNOWN if math.isnan(report.power_limit_w) else f"{report.power_limit_w:.0f}",
        three_digits(outcome.epochs if outcome else NAN),
        energy(report.energy_j),
        seconds(report.time_s),
        UNKNOWN if outcome is None or math.isnan(outcome.metric) else f"{outcome.metric:.4g}",
        run.ended,
    )
