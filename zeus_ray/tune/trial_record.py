"""From Tune's result dictionaries to the records a search is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import Self

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
    from_plain,
)


@dataclass
class TrialRecord:
    """What is known of one trial so far: its knobs, its last report, its best metric."""

    knobs: Knobs
    iteration: int = 0
    epochs: float = 0.0
    metric: float = NAN
    report: TrialReport = field(default_factory=TrialReport)
    verdict: StopReason | None = None
    learned: str = ""
    """The last profile handed on, as reported."""

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Inverse of ``dataclasses.asdict``, through JSON."""
        verdict = StopReason(raw["verdict"]) if raw["verdict"] else None
        return cls(
            **{
                **raw,
                "knobs": from_plain(Knobs, raw["knobs"]),
                "report": TrialReport(**raw["report"]),
                "verdict": verdict,
            }
        )

    def observe(self, result: Mapping[str, Any], target: Target) -> bool:
        """Take a result in. False where it is not ours, or was seen before (scheduler, then searcher)."""
        report = TrialReport.from_result(result)
        iteration = int(result.get("training_iteration", self.iteration + 1))
        # An attempt after a failure counts its iterations from one again.
        if report is None or (report.attempt, iteration) <= (self.report.attempt, self.iteration):
            return False
        self.iteration, self.report = iteration, report
        # An epoch's length may not be known yet; then each result counts as one, as Tune counts.
        self.epochs = float(iteration) if math.isnan(report.epochs) else report.epochs
        self.metric = target.better(self.metric, _number(result.get(target.metric)))
        return True

    @property
    def measurement(self) -> Measurement:
        """Energy and time so far, over all attempts."""
        return Measurement(energy_j=self.report.energy_j, time_s=self.report.time_s)

    def new_profile(self, *, ended: bool = False) -> PowerProfile | None:
        """The power profile this trial measured: once, though every report carries it.

        In part only when the trial has ``ended``: as long as it goes on, the best limit may still come.
        """
        measured = self.report.profile or (self.report.profile_so_far if ended else "")
        if measured == self.learned:
            return None
        self.learned = measured
        return from_json(PowerProfile, self.learned) if self.learned else None

    def progress(self) -> Progress:
        """As the search wants it while the trial runs."""
        return Progress(
            knobs=self.knobs,
            epoch=self.epochs,
            metric=self.metric,
            measurement=self.measurement,
            gpu=self.report.gpu,
        )

    def outcome(self, target: Target, *, error: bool) -> Outcome:
        """As the search wants it at the end."""
        stop = StopReason.ERROR if error else self.verdict
        if stop is None and self.report.stop_reason:
            stop = StopReason(self.report.stop_reason)
        return Outcome(
            knobs=self.knobs,
            reached=not error and (self.report.target_reached or target.reached(self.metric)),
            epochs=self.epochs,
            metric=self.metric,
            measurement=self.measurement,
            stop=stop,
            gpu=self.report.gpu,
            shared=self.report.shared,
        )


def one_kind(before: str, measured_by: str) -> str:
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


def _number(value: object) -> float:
    """A metric as a float: NaN where it is missing, not a number, or infinite."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return NAN
    return number if math.isfinite(number) else NAN
