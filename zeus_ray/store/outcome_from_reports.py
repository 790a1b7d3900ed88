"""A run under way: from the results it reports to what a search is told and the log stores."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zeus_ray.errors import BadInput
from zeus_ray.records import (
    NAN,
    Knobs,
    MeasuredBy,
    Measurement,
    Outcome,
    PowerProfile,
    Progress,
    StopReason,
    Target,
    TrialReport,
    from_json,
    read_metric,
)
from zeus_ray.store.events import CurvePoint, RunEnded

CURVE_POINTS = 1024
"""Reports of one run that are kept; beyond that every second one is dropped."""
TUNE_TIME = "time_total_s"
"""Ray Tune's own key of the time that a trial has trained (s)."""


@dataclass
class ActiveRun:
    """What is known of one run so far.

    Attributes:
        knobs: what it runs with.
        iteration: number of the last result within its attempt.
        epochs: at the last result.
        metric: best so far; NaN before the first.
        report: the ``zeus/`` keys of the last result.
        curve: all reports.
        stop: why the search wants it to end; None to go on.
        last_profile: the profile that was taken last, as reported.
    """

    knobs: Knobs
    iteration: int = 0
    epochs: float = 0.0
    metric: float = NAN
    report: TrialReport = field(default_factory=TrialReport)
    curve: list[CurvePoint] = field(default_factory=list)
    stop: StopReason | None = None
    last_profile: str = ""

    def update(self, result: Mapping[str, Any], target: Target) -> bool:
        """Take in a result. Returns False, and changes nothing, where it counts for nothing.

        That is: one that was taken in before (Ray Tune shows it to the scheduler and to the searcher), one
        after the run has reached its target, one with neither ``zeus/`` keys nor Ray Tune's own, and one
        without ``zeus/`` keys of a run that was measured before. A trial without a session has Tune's: its
        time counts, and each result as one epoch.
        """
        measured = self.report.measured_by != MeasuredBy.NONE
        report = TrialReport.from_result(result) or (None if measured else self._unmetered(result))
        iteration = int(result.get("training_iteration", self.iteration + 1))
        # An attempt after a failure counts its iterations from one again.
        if report is None or (report.attempt, iteration) <= (self.report.attempt, self.iteration):
            return False
        if self.stop == StopReason.TARGET_REACHED:
            return False
        self.iteration, self.report = iteration, report
        # The length of an epoch may not be known yet; then each result counts as one, as Ray Tune counts.
        self.epochs = float(iteration) if math.isnan(report.epochs) else report.epochs
        self.metric = target.better(self.metric, read_metric(result, target.metric))
        self.curve.append(CurvePoint(self.epochs, self.metric, report.energy_j, report.time_s))
        if len(self.curve) > CURVE_POINTS:
            self.curve = [*self.curve[:-1:2], self.curve[-1]]
        return True

    def take_profile(self, *, ended: bool = False) -> PowerProfile | None:
        """The power profile that the run measured: once, although every report carries it.

        Args:
            ended: a part of a profile will do: the best limit cannot come any more.
        """
        measured = self.report.profile or (self.report.profile_so_far if ended else "")
        if measured == self.last_profile:
            return None
        self.last_profile = measured
        return from_json(PowerProfile, measured) if measured else None

    def progress(self) -> Progress:
        """For ``Search.should_stop``."""
        return Progress(
            knobs=self.knobs,
            epoch=self.epochs,
            metric=self.metric,
            measurement=self._measurement,
            gpu=self.report.gpu,
        )

    def ended(self, target: Target, *, error: bool, count_shared: bool = False) -> RunEnded:
        """The event of its end; its ``outcome`` is for ``Search.tell``.

        Args:
            target: judges whether it was reached.
            error: the run has failed.
            count_shared: the outcome counts although another job used the GPU.
        """
        stop = StopReason.ERROR if error else self.stop
        if stop is None and self.report.stop_reason:
            stop = StopReason(self.report.stop_reason)
        outcome = Outcome(
            knobs=self.knobs,
            reached=not error and (self.report.target_reached or target.reached(self.metric)),
            epochs=self.epochs,
            metric=self.metric,
            measurement=self._measurement,
            stop=stop,
            gpu=self.report.gpu,
            shared=self.report.shared and not count_shared,
        )
        report = dataclasses.replace(self.report, profile="", profile_so_far="")
        return RunEnded(outcome=outcome, target=target, curve=tuple(self.curve), report=report)

    def _unmetered(self, result: Mapping[str, Any]) -> TrialReport | None:
        if TUNE_TIME not in result:
            return None
        time_s = read_metric(result, TUNE_TIME)
        return TrialReport(run_id=self.knobs.run_id, batch_size=self.knobs.batch_size, time_s=time_s)

    @property
    def _measurement(self) -> Measurement:
        """Energy and time so far, over all attempts."""
        return Measurement(energy_j=self.report.energy_j, time_s=self.report.time_s)


def baseline_outcome(target: Target, baseline: ActiveRun | None) -> Outcome | None:
    """How a baseline ended that counts for its batch size: alone on its GPU, and to the target; else None."""
    if baseline is None or baseline.report.shared:
        return None
    outcome = baseline.ended(target, error=False).outcome
    return outcome if outcome.reached else None


def same_measurement(before: str, measured_by: str) -> str:
    """The kind of measurement of a search, "" before the first: real and simulated joules do not mix.

    Raises:
        BadInput: another kind than before.
    """
    kind = "real" if measured_by in (MeasuredBy.COUNTER, MeasuredBy.POWER_INTEGRAL) else measured_by
    if before and kind != before:
        raise BadInput(
            f"one trial's energy is {kind}, another's {before}: a search needs one kind; "
            "see ZEUS_RAY_GPU on the cluster's nodes"
        )
    return kind
