"""Runs that were asked for and not told yet, and what they have shown so far."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from zeus_ray.decide.curves import Curve
from zeus_ray.records import Knobs, Progress, Target, from_plain

ERRORS_IN_A_ROW = 2


class InFlight:
    """Keeps run ids, learning curves, and how often a batch size has crashed in a row."""

    def __init__(self) -> None:
        self.pending: dict[str, Knobs] = {}
        self._asked = 0
        self._told: set[str] = set()
        self._curves: dict[str, list[tuple[float, float]]] = {}
        self._errors: dict[int, int] = {}

    def issue(self, knobs: Knobs, run_id: str = "") -> Knobs:
        """Give ``knobs`` a run id, the next one where none is given, and wait for it."""
        self._asked += 1
        issued = dataclasses.replace(knobs, run_id=run_id or str(self._asked))
        self.pending[issued.run_id] = issued
        return issued

    def add_pending(self, knobs: Knobs) -> None:
        """Wait for a run that another life of this search asked for; one that is known changes nothing."""
        if knobs.run_id in self._told or knobs.run_id in self.pending:
            return
        self.pending[knobs.run_id] = knobs
        if knobs.run_id.isdecimal():
            self._asked = max(self._asked, int(knobs.run_id))

    def watch(self, progress: Progress, target: Target) -> Curve:
        """Remember a run's metric where it got better; its learning curve so far."""
        if progress.knobs.run_id not in self.pending:
            return ()
        curve = self._curves.setdefault(progress.knobs.run_id, [])
        last = curve[-1][1] if curve else math.nan
        better = math.isfinite(progress.metric) and target.better(last, progress.metric) != last
        if better and (not curve or progress.epoch >= curve[-1][0]):
            curve.append((progress.epoch, progress.metric))
        return tuple(curve)

    def take(self, run_id: str) -> tuple[Knobs, Curve] | None:
        """A run has ended: its knobs and curve, or None where it is not waited for."""
        knobs = self.pending.pop(run_id, None)
        if knobs is None:
            return None
        self._told.add(run_id)
        return knobs, tuple(self._curves.pop(run_id, ()))

    def under_way(self) -> list[tuple[str, int, float]]:
        """(run id, batch size, epoch of its newest best metric) of every run that has shown something."""
        return [
            (run, self.pending[run].batch_size, curve[-1][0]) for run, curve in self._curves.items() if curve
        ]

    def curves(self) -> list[tuple[int, Curve, float]]:
        """(batch size, learning curve, its last epoch) of every run in flight that has shown something."""
        shown = ((self.pending[run].batch_size, curve) for run, curve in self._curves.items() if curve)
        return [(size, tuple(curve), curve[-1][0]) for size, curve in shown]

    def crashed(self, batch_size: int) -> bool:
        """Count a crash. True when it is the second in a row: then the batch size is to blame."""
        self._errors[batch_size] = self._errors.get(batch_size, 0) + 1
        return self._errors[batch_size] >= ERRORS_IN_A_ROW

    def ended(self, batch_size: int) -> None:
        """The row of crashes is over."""
        self._errors.pop(batch_size, None)

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "pending": [dataclasses.asdict(knobs) for knobs in self.pending.values()],
            "asked": self._asked,
            "told": sorted(self._told),
            "curves": self._curves,
            "errors": list(self._errors.items()),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self.pending = {raw["run_id"]: from_plain(Knobs, raw) for raw in state["pending"]}
        self._asked, self._told = state["asked"], set(state["told"])
        self._curves = {run: [(e, m) for e, m in curve] for run, curve in state["curves"].items()}
        self._errors = dict(state["errors"])
