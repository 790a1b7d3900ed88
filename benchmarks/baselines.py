"""What people do without a search: the default for ever, a grid, random knobs."""

from __future__ import annotations

import numpy as np
from recurrences import Workload

from zeus_ray.objective import cost
from zeus_ray.records import Knobs, Outcome, PowerProfile, Progress, StopReason


class Default:
    """The default batch size at maximum power, for ever."""

    def __init__(self, work: Workload) -> None:
        self.work = work

    def next(self) -> tuple[int, float]:
        """Batch size and limit (W) of the next run."""
        return self.work.default_batch_size, self.work.limits_w[0]

    def ask(self) -> Knobs:
        """The next run, without probes."""
        size, limit_w = self.next()
        return Knobs(run_id="", batch_size=size, power_limit_w=limit_w)

    def observe_profile(self, profile: PowerProfile) -> None:
        """It knows its limits before."""

    def power_limit_w(self, batch_size: int) -> float | None:
        """Every ask names its own."""

    def should_stop(self, progress: Progress) -> StopReason | None:
        """At the target, or when it has failed."""
        if self.work.target.reached(progress.metric):
            return StopReason.TARGET_REACHED
        return StopReason.MAX_EPOCHS if progress.epoch >= self.work.max_epochs else None

    def tell(self, outcome: Outcome) -> None:
        """It never learns."""


class Random(Default):
    """Any batch size at any limit, every time anew."""

    def __init__(self, work: Workload, seed: int) -> None:
        super().__init__(work)
        self._rng = np.random.default_rng(seed)
        self._sizes = sorted(work.points)

    def next(self) -> tuple[int, float]:
        """Batch size and limit (W) of the next run."""
        return int(self._rng.choice(self._sizes)), float(self._rng.choice(self.work.limits_w))


class Grid(Default):
    """Each batch size at each limit once, the default first; one that fails is pruned. Then the cheapest."""

    def __init__(self, work: Workload, eta: float) -> None:
        super().__init__(work)
        self._eta = eta
        others = [size for size in sorted(work.points) if size != work.default_batch_size]
        self._left = [(b, w) for b in [work.default_batch_size, *others] for w in work.limits_w]
        self._best, self._cheapest = (work.default_batch_size, work.limits_w[0]), float("inf")

    def next(self) -> tuple[int, float]:
        """Batch size and limit (W) of the next run."""
        return self._left[0] if self._left else self._best

    def tell(self, outcome: Outcome) -> None:
        """Remember the cheapest, or prune."""
        knobs = outcome.knobs
        if not self._left:
            return
        tried = self._left.pop(0)
        if not outcome.reached:
            self._left = [(b, w) for b, w in self._left if b != knobs.batch_size]
            return
        used = outcome.measurement
        spent = cost(used.energy_j, used.time_s, eta=self._eta, max_power_w=self.work.limits_w[0])
        if spent < self._cheapest:
            self._best, self._cheapest = tried, spent
