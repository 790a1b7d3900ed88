"""What runs have said: log epochs where they reached the target, what failed, and whether the job changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zeus_ray.decide.epochs import Observation
from zeus_ray.decide.value import Array

FAILS, FAILS_OCTAVES = 0.05, 5.0
"""Chance, per octave away from one that works, that a batch size never reaches the target; and what this
prior weighs in octaves."""
DUD, DUD_RUNS = 0.025, 4.0
"""Chance that a run of a batch size that works never gets there, before it has run this often."""
SLACK_SD, ALARM_SD = 0.75, 5.0
"""Runs that are off in one direction by more than the slack add up; at the alarm the job has changed
(cumulative sums, Page 1954): a shift by two deviations in four runs, by noise alone once in thousands."""


class Memory:
    """One observation per run that counts, and tallies by batch size."""

    def __init__(self) -> None:
        self.observations: list[Observation] = []
        self.reached: dict[int, int] = {}
        """Runs that reached the target, by batch size."""
        self.failures: dict[int, int] = {}
        """Runs that failed since one last reached the target, by batch size."""
        self.changed_at = 0
        """Number of the first observation of the job as it is now."""
        self._stumbled: dict[int, float] = {}
        """Chance that a batch size that was stopped or failed never reaches the target."""
        self._sums = dict.fromkeys((1, -1), (0.0, 0))
        """By direction: how far off runs were in a row, and the number of the first of them."""

    def reach(self, batch_size: int, epochs: float, expected: tuple[float, float] | None) -> None:
        """A run reached the target. ``expected``: mean and standard deviation of log epochs before it."""
        if expected is not None and batch_size in self.reached:
            self._notice(math.log(epochs), *expected)
        self.reached[batch_size] = self.reached.get(batch_size, 0) + 1
        self.failures.pop(batch_size, None)
        self.observations.append(Observation(batch_size, math.log(epochs), 0.0, len(self.observations)))

    def stop(self, batch_size: int, log_epochs: float, var: float) -> None:
        """A run was stopped that should have taken about this many epochs."""
        self.observations.append(Observation(batch_size, log_epochs, var, len(self.observations)))

    def stumble(self, batch_size: int, dud: float) -> None:
        """A run was stopped that would never have reached the target, with this chance."""
        self._stumbled[batch_size] = dud

    def fail(self, batch_size: int) -> None:
        """A run ended without the target. Twice in a row, and a batch size that worked does so no more."""
        self._stumbled[batch_size] = 1.0
        self.failures[batch_size] = self.failures.get(batch_size, 0) + 1
        if self.failures[batch_size] > 1:
            self.reached.pop(batch_size, None)

    def running(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Those of ``sizes`` in the running: none that failed, and none beyond one that failed."""
        failed = [b for b in self.failures if b not in self.reached]
        low = max((b for b in failed if b < min(self.reached, default=0)), default=0)
        high = min((b for b in failed if b > max(self.reached, default=math.inf)), default=math.inf)
        return tuple(b for b in sizes if low < b < high and b not in failed)

    def fails(self, sizes: Sequence[int], default: int) -> Array:
        """Chance that a batch size never gets there: as its own runs say, or by its distance to one that did.

        ``default``: what is taken to work before any has.
        """
        logs = np.log2(np.array(sizes, dtype=float))
        works = np.log2(np.array([b for b in sizes if b in self.reached] or [default], dtype=float))
        octaves = np.abs(logs[:, None] - works[None, :]).min(axis=1)
        stumbled = sum(dud for size, dud in self._stumbled.items() if size not in self.reached)
        seen = stumbled + max(0, len(self.reached) - 1)
        per_octave = (FAILS * FAILS_OCTAVES + stumbled) / (FAILS_OCTAVES + seen)
        own = [0.0 if size in self.reached else self._stumbled.get(size, 0.0) for size in sizes]
        return np.asarray(np.maximum(1 - (1 - per_octave) ** octaves, own))

    def dud(self, batch_size: int) -> float:
        """Chance that one run of ``batch_size`` never reaches the target; it shrinks with those that do."""
        reached, failed = self.reached.get(batch_size, 0), self.failures.get(batch_size, 0)
        return min(0.5, (DUD * DUD_RUNS + failed) / (reached + failed + DUD_RUNS))

    def _notice(self, log_epochs: float, mean: float, sd: float) -> None:
        newest = len(self.observations)
        for sign, (total, began) in self._sums.items():
            off = total + sign * (log_epochs - mean) / sd - SLACK_SD
            self._sums[sign] = (off, began if total > 0 else newest) if off > 0 else (0.0, newest)
        total, began = max(self._sums.values())
        if total > ALARM_SD:
            self.changed_at = began
            self._sums = dict.fromkeys(self._sums, (0.0, newest))

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "observations": [[o.batch_size, o.log_epochs, o.extra_var, o.number] for o in self.observations],
            "reached": list(self.reached.items()),
            "failures": list(self.failures.items()),
            "changed_at": self.changed_at,
            "stumbled": list(self._stumbled.items()),
            "sums": list(self._sums.items()),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Memory:
        """Inverse of :meth:`state`."""
        memory = cls()
        memory.observations = [Observation(*seen) for seen in state["observations"]]
        memory.reached, memory.failures = dict(state["reached"]), dict(state["failures"])
        memory.changed_at = state["changed_at"]
        memory._sums = {sign: (total, began) for sign, (total, began) in state["sums"]}
        memory._stumbled = dict(state["stumbled"])
        return memory
