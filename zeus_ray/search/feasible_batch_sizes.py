"""Feasible batch sizes: those that fit in memory, at once or accumulated, and the range of ``"auto"``.

A batch size that ran out of memory is not tried again, nor is a larger one. With accumulation it runs
as the fewest equal micro-batches that fit. ``batch_sizes="auto"`` stands for the default times powers
of two, of which only those within one octave of what has run are offered: running out of memory then
happens once, and the range grows only as far as it is worth it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from zeus_ray.records import Knobs, StopReason

AUTO = "auto"
OCTAVES = 6
"""How far ``"auto"`` reaches, up and down: a factor of 64, the widest range in the recorded jobs (32 to 512)
and the NSDI'23 traces (8 to 4096 around 256) with room to spare."""


def powers_of_two(default: int) -> tuple[int, ...]:
    """``default`` halved while it is whole, and doubled: at most ``OCTAVES`` times each."""
    halvings = [default >> n for n in range(1, OCTAVES + 1) if default % (1 << n) == 0]
    return tuple(sorted([*halvings, *(default << n for n in range(OCTAVES + 1))]))


class FeasibleSizes:
    """The batch sizes of a job, as far as their memory is known.

    Args:
        all_sizes: every batch size, increasing.
        default: the one in use today.
        grows: offer only sizes within an octave of those that have run.
        accumulate: run a size that does not fit as micro-batches.
        gpus: a micro-batch must be divisible by this.
    """

    def __init__(
        self, all_sizes: tuple[int, ...], default: int, *, grows: bool, accumulate: bool, gpus: int
    ) -> None:
        self.all_sizes = all_sizes
        self.too_large = math.inf
        """The smallest number of samples that did not fit at once."""
        self._grows, self._accumulate, self._gpus = grows, accumulate, gpus
        self._low = self._high = default
        self._now: tuple[int, ...] | None = None

    def now(self) -> tuple[int, ...]:
        """The batch sizes that can run, increasing."""
        if self._now is None:
            low, high = (self._low / 2, self._high * 2) if self._grows else (0, math.inf)
            self._now = tuple(b for b in self.all_sizes if low <= b <= high and self.micro_batches(b))
        return self._now

    def micro_batches(self, size: int) -> int:
        """The fewest equal parts of ``size`` that fit; 0 where it cannot run."""
        if size < self.too_large:
            return 1
        if not self._accumulate:
            return 0
        parts = (n for n in range(2, size + 1) if size % n == 0 and (size // n) % self._gpus == 0)
        return next((n for n in parts if size // n < self.too_large), 0)

    def observe(self, knobs: Knobs, stop: StopReason | None) -> bool:
        """Record a run that did not crash. False: out of memory, but it can run in smaller parts."""
        size, self._now = knobs.batch_size, None
        self._low = min(self._low, size)
        if stop != StopReason.OUT_OF_MEMORY:
            self._high = max(self._high, size)
            return True
        self.too_large = min(self.too_large, size // knobs.accumulate)
        return not self.micro_batches(size)

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"too_large": self.too_large, "low": self._low, "high": self._high}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self.too_large, self._low, self._high = state["too_large"], state["low"], state["high"]
        self._now = None
