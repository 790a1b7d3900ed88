"""Runs that were suggested and have not been told yet, and what they have reported so far."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from zeus_ray.records import Knobs, Progress
from zeus_ray.search.models.learning_curve import Curve, thinned

ERRORS_IN_A_ROW = 2
"""One crash may be the machine's; the second in a row is charged to the batch size."""


class PendingRuns:
    """Run ids, learning curves and costs of runs under way, and crashes in a row by batch size."""

    def __init__(self) -> None:
        self.knobs: dict[str, Knobs] = {}
        self._issued = 0
        self._told: set[str] = set()
        self._curves: dict[str, list[tuple[float, float]]] = {}
        self._costs: dict[str, tuple[float, float, int]] = {}
        """(cost so far in J, largest cost between two reports in J, reports)."""
        self._errors: dict[int, int] = {}

    def issue(self, knobs: Knobs, run_id: str = "") -> Knobs:
        """``knobs`` with a run id, the next number where none is given; pending from now on."""
        self._issued += 1
        issued = dataclasses.replace(knobs, run_id=run_id or str(self._issued))
        self.knobs[issued.run_id] = issued
        return issued

    def add(self, knobs: Knobs) -> None:
        """Make a run pending that a restored search does not know; a known one changes nothing."""
        if knobs.run_id in self._told or knobs.run_id in self.knobs:
            return
        self.knobs[knobs.run_id] = knobs
        if knobs.run_id.isdecimal():
            self._issued = max(self._issued, int(knobs.run_id))

    def record(self, progress: Progress, cost_j: float) -> Curve:
        """Append a report to the run's learning curve and cost. Returns the curve."""
        run_id = progress.knobs.run_id
        if run_id not in self.knobs:
            return ()
        before, step, reports = self._costs.get(run_id, (cost_j, 0.0, 0))
        self._costs[run_id] = (max(cost_j, before), max(step, cost_j - before), reports + 1)
        curve = self._curves.setdefault(run_id, [])
        newest = curve[-1][0] if curve else 0.0
        if math.isfinite(progress.metric) and progress.epoch > newest:
            curve.append((progress.epoch, progress.metric))
            self._curves[run_id] = thinned(curve)
        return tuple(self._curves[run_id])

    def take(self, run_id: str) -> tuple[Knobs, Curve] | None:
        """Remove a run that has ended: its knobs and curve, or None where it is not pending."""
        knobs = self.knobs.pop(run_id, None)
        if knobs is None:
            return None
        self._told.add(run_id)
        self._costs.pop(run_id, None)
        return knobs, tuple(self._curves.pop(run_id, ()))

    def drop(self, run_id: str) -> None:
        """Forget a run whose result is not coming."""
        self.knobs.pop(run_id, None)
        self._curves.pop(run_id, None)
        self._costs.pop(run_id, None)

    def cost_j(self, run_id: str) -> float:
        """Cost (J) of a run so far, as last reported."""
        return self._costs[run_id][0] if run_id in self._costs else 0.0

    def next_cost_j(self, run_id: str, epoch_cost_j: float) -> float:
        """What it may cost (J) until the next report: the most that any interval has; at first an epoch."""
        _cost, step, reports = self._costs.get(run_id, (0.0, 0.0, 0))
        return step if reports > 2 else max(step, epoch_cost_j)

    def curve(self, run_id: str) -> Curve:
        """The learning curve of a run so far."""
        return tuple(self._curves.get(run_id, ()))

    def crashed(self, batch_size: int) -> bool:
        """Count a crash. True from the second in a row on."""
        self._errors[batch_size] = self._errors.get(batch_size, 0) + 1
        return self._errors[batch_size] >= ERRORS_IN_A_ROW

    def completed(self, batch_size: int) -> None:
        """A run ended without crashing: the count of crashes in a row restarts."""
        self._errors.pop(batch_size, None)

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "knobs": [dataclasses.asdict(knobs) for knobs in self.knobs.values()],
            "issued": self._issued,
            "told": sorted(self._told),
            "curves": self._curves,
            "costs": self._costs,
            "errors": list(self._errors.items()),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self.knobs = {raw["run_id"]: _knobs(raw) for raw in state["knobs"]}
        self._issued, self._told = state["issued"], set(state["told"])
        self._curves = {run: [(e, m) for e, m in curve] for run, curve in state["curves"].items()}
        self._costs = {run: (cost, step, reports) for run, (cost, step, reports) in state["costs"].items()}
        self._errors = dict(state["errors"])


def _knobs(raw: Mapping[str, Any]) -> Knobs:
    limits = raw["probe_limits_w"]
    return Knobs(**{**raw, "probe_limits_w": None if limits is None else tuple(limits)})
