"""How far a search in Ray Tune is: trials, energy, the best run so far, time left, the last stop."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial

from zeus_ray.quantity_format import (
    UNKNOWN,
    energy,
    energy_scale,
    joule_equivalents,
    power,
    seconds,
    time_scale,
)
from zeus_ray.records import VIRTUAL_ENERGY, Target, TrialReport, from_plain, read_carried, read_metric


@dataclass(frozen=True, kw_only=True)
class RunningTrial:
    """A trial that runs now, as columns of text: limit, epochs, metric and energy so far."""

    batch_size: str
    power_limit: str
    epochs: str
    metric: str
    energy: str


@dataclass(frozen=True, kw_only=True)
class SearchProgress:
    """A search at one moment.

    Attributes:
        running: the trials that run.
        waiting: trials that are paused, or wait for resources.
        ended: trials that have ended, those that failed among them.
        failed: trials that failed.
        most: trials that the experiment may run; None: not known.
        energy_j: energy of all trials so far (J); those that are not measured count as nothing.
        unmeasured: trials whose energy is not known.
        virtual: whether GPUs are simulated or replayed.
        best: the report of the cheapest run that has reached the target; None before the first.
        last_stop: which trial ended last, and why; "" before the first.
        elapsed_s: since the experiment began (s).
        left_s: until all trials that may run have ended, if they take as long as those before (s); NaN where
            that is not known.
    """

    running: tuple[RunningTrial, ...] = ()
    waiting: int = 0
    ended: int = 0
    failed: int = 0
    most: int | None = None
    energy_j: float = 0.0
    unmeasured: int = 0
    virtual: bool = False
    best: TrialReport | None = None
    last_stop: str = ""
    elapsed_s: float = 0.0
    left_s: float = math.nan

    @classmethod
    def of(
        cls,
        trials: Sequence[Trial],
        *,
        most: int | None,
        elapsed_s: float,
        last_stop: str = "",
        budget_s: float = math.inf,
    ) -> SearchProgress:
        """Read from the trials of an experiment, which may run ``most`` trials and take ``budget_s``."""
        known = [(trial, TrialReport.from_result(trial.last_result or {})) for trial in trials]
        reports = [report for _, report in known if report is not None]
        measured = [report.energy_j for report in reports if not math.isnan(report.energy_j)]
        reached = [report for report in reports if not math.isnan(report.cost_to_target)]
        ended = [trial for trial in trials if trial.is_finished()]
        running = [(trial, report) for trial, report in known if trial.status == Trial.RUNNING]
        return cls(
            running=tuple(_running(trial, report) for trial, report in running),
            waiting=len(trials) - len(ended) - len(running),
            ended=len(ended),
            failed=sum(trial.status == Trial.ERROR for trial in trials),
            most=most,
            energy_j=math.fsum(measured),
            unmeasured=len(reports) - len(measured),
            virtual=any(report.measured_by in VIRTUAL_ENERGY for report in reports),
            best=min(reached, key=lambda report: report.cost_to_target, default=None),
            last_stop=last_stop,
            elapsed_s=elapsed_s,
            left_s=_within(_left_s(ended, len(running), most), max(0.0, budget_s - elapsed_s)),
        )

    def rows(self) -> dict[str, str]:
        """What a display shows, by the name of the row."""
        of = f" of at most {self.most}" if self.most else ""
        counts = [f"{len(self.running)} running", f"{self.ended} ended{of}"]
        counts += [f"{self.waiting} waiting"] if self.waiting else []
        counts += [f"{self.failed} failed"] if self.failed else []
        used = energy(self.energy_j) + (" (SIMULATED)" if self.virtual else "")
        used += f", without {self.unmeasured} that are not measured" if self.unmeasured else ""
        used = "not measured" if self.unmeasured and not self.energy_j else used
        left = "" if math.isnan(self.left_s) else f", at most about {seconds(self.left_s)} left"
        rows = {
            "trials": ", ".join(counts),
            "energy so far": used,
            "cheapest run": _best(self.best),
            "wall clock": f"{seconds(self.elapsed_s)}{left}",
        }
        return {**rows, "ended last": self.last_stop} if self.last_stop else rows


def _within(left_s: float, budget_s: float) -> float:
    """The shorter of two times (s), of which either may be unknown: NaN, or an infinite budget."""
    if math.isinf(budget_s):
        return left_s
    return budget_s if math.isnan(left_s) else min(left_s, budget_s)


def ended_sentence(trial: Trial, first: TrialReport | None = None) -> str:
    """One line on a trial that has ended: knobs, epochs, metric, energy, time, and why.

    Args:
        trial: that has ended.
        first: the first that has ended, whose units are those of all lines; None: this one.
    """
    report = TrialReport.from_result(trial.last_result or {})
    if report is None:
        return f"{trial.trial_id}: ended without a metered result"
    metric = _metric(trial.config, trial.last_result)
    units = first or report
    joules, times = energy_scale([units.energy_j]), time_scale([units.time_s])
    used = UNKNOWN if math.isnan(report.energy_j) else f"{joules.text(report.energy_j)} {joules.unit}"
    lasted = UNKNOWN if math.isnan(report.time_s) else f"{times.text(report.time_s)} {times.unit}"
    return (
        f"batch {report.batch_size:>5}  {power(report.power_limit_w):>7}  {report.epochs:>5.1f} epochs  "
        f"{metric + '  ' if metric else ''}{used:>9}  {lasted:>9}  "
        f"{report.stop_reason or 'ended by itself'}"
    )


def short_end(trial: Trial) -> str:
    """Which batch size a trial had, and why it has ended."""
    report = TrialReport.from_result(trial.last_result or {})
    if trial.status == Trial.ERROR:
        return f"{trial.trial_id}: failed"
    if report is None:
        return f"{trial.trial_id}: ended"
    return f"batch {report.batch_size}: {report.stop_reason or 'ended by itself'}"


def _metric(config: Mapping[str, Any], result: Mapping[str, Any] | None) -> str:
    given = read_carried(config).get("target")
    if not given:
        return ""
    target = from_plain(Target, given)
    return f"{target.metric} {target.text(read_metric(result or {}, target.metric))}"


def _running(trial: Trial, report: TrialReport | None) -> RunningTrial:
    if report is None:
        size = (read_carried(trial.config).get("knobs") or {}).get("batch_size")
        return RunningTrial(
            batch_size=str(size or UNKNOWN), power_limit=UNKNOWN, epochs="0", metric="", energy=UNKNOWN
        )
    return RunningTrial(
        batch_size=str(report.batch_size),
        power_limit=power(report.power_limit_w),
        epochs=UNKNOWN if math.isnan(report.epochs) else f"{report.epochs:.1f}",
        metric=_metric(trial.config, trial.last_result),
        energy=energy(report.energy_j),
    )


def _best(report: TrialReport | None) -> str:
    if report is None:
        return "no run has reached the target yet"
    limit = "" if math.isnan(report.power_limit_w) else f" at {power(report.power_limit_w)}"
    knobs = f"batch {report.batch_size}{limit}"
    if math.isnan(report.energy_j):  # then the cost is of time alone
        return f"{knobs}: {seconds(report.time_s)}, energy not measured"
    past = " at its end, past the target" if report.cost > report.cost_to_target else ""
    cost_text = f"cost {joule_equivalents(report.cost_to_target)}"
    return f"{knobs}: {cost_text}, energy {energy(report.energy_j)}, {seconds(report.time_s)}{past}"


def _left_s(ended: Iterable[Trial], running: int, most: int | None) -> float:
    """Time that the trials which may still run take in all, at as many at a time as now."""
    times_s = [(trial.last_result or {}).get("time_total_s", math.nan) for trial in ended]
    known_s = [time_s for time_s in times_s if not math.isnan(time_s)]
    if most is None or not known_s:
        return math.nan
    return max(most - len(times_s), 0) * statistics.fmean(known_s) / max(running, 1)
