"""The first phase of a search without a target: the metric of the default becomes the target."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from zeus_ray.errors import TargetNotReached
from zeus_ray.records import Measurement, Outcome, Progress, StopReason, Target

TARGET_PHASE_TRIES = 2
"""Runs of the default without a finite metric before the search gives up."""


class TargetPhase:
    """Runs the default until its best metric sets the target.

    Args:
        target: metric and mode; the value where it was given.
        tolerance: the share of the default's best metric that may be given up, so that scatter from run
            to run does not make every second run a failure.
    """

    def __init__(self, target: Target, tolerance: float) -> None:
        self.target = target
        self.failures = 0
        self._tolerance = tolerance
        self._seen: list[tuple[float, float, float, float]] = []
        """(epoch, metric, energy_j, time_s) of the run under way."""

    @property
    def active(self) -> bool:
        """Whether there is no target yet."""
        return self.target.value is None

    def check(self) -> None:
        """Raise TargetNotReached once the default has failed twice."""
        if self.active and self.failures >= TARGET_PHASE_TRIES:
            raise TargetNotReached(
                f"the default batch size ran {TARGET_PHASE_TRIES} times without a finite "
                f"{self.target.metric!r}; give a target: Target(metric, value)"
            )

    def record(self, progress: Progress) -> None:
        """Remember what the run has used at each metric."""
        used = progress.measurement
        self._seen.append((progress.epoch, progress.metric, used.energy_j, used.time_s))

    def end(self, outcome: Outcome) -> Outcome:
        """Set the target, and cut the outcome down to its first crossing."""
        seen, self._seen = self._seen, []
        failed = outcome.stop in (StopReason.ERROR, StopReason.OUT_OF_MEMORY)
        if failed or not math.isfinite(outcome.metric):
            self.failures += 1
            return dataclasses.replace(outcome, reached=False)
        slack = self._tolerance * abs(outcome.metric)
        value = outcome.metric - slack if self.target.mode == "max" else outcome.metric + slack
        self.target = dataclasses.replace(self.target, value=value)
        crossing = next((row for row in seen if self.target.reached(row[1])), None)
        if crossing is None:
            return dataclasses.replace(outcome, reached=True)
        epoch, _metric, energy_j, time_s = crossing
        used = Measurement(energy_j=energy_j, time_s=time_s)
        return dataclasses.replace(outcome, reached=True, epochs=epoch, measurement=used)

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"failures": self.failures, "seen": self._seen}

    def restore(self, state: Mapping[str, Any], target: Target) -> None:
        """Inverse of :meth:`state`."""
        self.target, self.failures = target, state["failures"]
        self._seen = [(row[0], row[1], row[2], row[3]) for row in state["seen"]]
