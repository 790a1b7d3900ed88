"""What runs have said: log epochs where they reached the target, what failed, and whether the job changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zeus_ray.decide.epochs import Observation
from zeus_ray.decide.value import Array

FAILS = 0.05
"""Chance, per octave away from one that works, that a batch size never reaches the target."""
DUD, DUD_RUNS = 0.025, 4.0
"""Chance that a run of a batch size that works never gets there, before it has run this often."""
SURPRISE_SD = 2.5
SURPRISES = 2
"""The job has changed when runs of known batch sizes are this far off, this often in a row."""


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
        self._stumbled: set[int] = set()
        self._surprises = 0

    def reach(self, batch_size: int, epochs: float, expected: tuple[float, float] | None) -> None:
        """A run reached the target. ``expected``: mean and standard deviation of log epochs before it."""
        if expected is not None and batch_size in self.reached:
            self._notice(math.log(epochs), *expected)
        self.reached[batch_size] = self.reached.get(batch_size, 0) + 1
        self.failures.pop(batch_size, None)
        self.observations.append(Observation(batch_size, math.log(epochs), 0.0, len(self.observations)))

    def stop(self, batch_size: int, log_epochs: float, var: float) -> None:
        """A run was stopped that should have taken about this many epochs."""
        self._stumbled.add(batch_size)
        self.observations.append(Observation(batch_size, log_epochs, var, len(self.observations)))

    def fail(self, batch_size: int) -> None:
        """A run ended without the target. Twice in a row, and a batch size that worked does so no more."""
        self._stumbled.add(batch_size)
        self.failures[batch_size] = self.failures.get(batch_size, 0) + 1
        if self.failures[batch_size] > 1:
            self.reached.pop(batch_size, None)

    def running(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """Those of ``sizes`` in the running: none that failed, and none beyond one that failed."""
        failed = [b for b in self.failures if b not in self.reached]
        low = max((b for b in failed if b < min(self.reached)), default=0)
        high = min((b for b in failed if b > max(self.reached)), default=math.inf)
        return tuple(b for b in sizes if low < b < high and b not in failed)

    def fails(self, sizes: Sequence[int]) -> Array:
        """Chance that a batch size never reaches the target, by its distance to one that did."""
        logs = np.log2(np.array(sizes, dtype=float))
        works = np.log2(np.array([b for b in sizes if b in self.reached], dtype=float))
        octaves = np.abs(logs[:, None] - works[None, :]).min(axis=1)
        stumbled = len(self._stumbled.difference(self.reached))
        per_octave = (1 + stumbled) / (1 / FAILS + stumbled + len(self.reached) - 1)
        return np.asarray(1 - (1 - per_octave) ** octaves)

    def dud(self, batch_size: int) -> float:
        """Chance that one run of ``batch_size`` never reaches the target; it shrinks with those that do."""
        reached, failed = self.reached.get(batch_size, 0), self.failures.get(batch_size, 0)
        return min(0.5, (DUD * DUD_RUNS + failed) / (reached + failed + DUD_RUNS))

    def _notice(self, log_epochs: float, mean: float, sd: float) -> None:
        surprised = abs(log_epochs - mean) > SURPRISE_SD * sd
        self._surprises = self._surprises + 1 if surprised else 0
        if self._surprises >= SURPRISES:
            self.changed_at = len(self.observations) - SURPRISES + 1
            self._surprises = 0

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "observations": [[o.batch_size, o.log_epochs, o.extra_var, o.number] for o in self.observations],
            "reached": list(self.reached.items()),
            "failures": list(self.failures.items()),
            "changed_at": self.changed_at,
            "stumbled": sorted(self._stumbled),
            "surprises": self._surprises,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Memory:
        """Inverse of :meth:`state`."""
        memory = cls()
        memory.observations = [Observation(*seen) for seen in state["observations"]]
        memory.reached, memory.failures = dict(state["reached"]), dict(state["failures"])
        memory.changed_at, memory._surprises = state["changed_at"], state["surprises"]
        memory._stumbled = set(state["stumbled"])
        return memory
