"""The intervals until a deadline, and how work is distributed over them at the least cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zeus_ray.carbon.series import Array
from zeus_ray.quantity_format import HOUR_S

TINY = 1e-9
MAX_ENDS = 200
"""Where ``min_trials`` is above 0, at most so many ends of the work are compared."""


@dataclass(frozen=True)
class FreeCapacity:
    """Intervals in which trials can run: their edges (s) and prices, and how many trials each takes."""

    edges_s: Array
    prices: Array
    min_trials: int
    max_trials: int

    @property
    def hours(self) -> Array:
        """Length of each interval."""
        return np.diff(self.edges_s) / HOUR_S

    def fill(self, work_h: float) -> Array:
        """The widths (trials per interval) that do ``work_h`` trial-hours at the least cost.

        ``min_trials`` run from the first interval on until the work is done, so if that is above 0 it may be
        cheaper to finish early. Work that does not fit is left out.
        """
        count = len(self.prices)
        if self.min_trials == 0:
            return self._fill_until(count, work_h)
        ends = {*np.linspace(1, count, min(count, MAX_ENDS)).astype(int)}
        most_h = self.max_trials * np.cumsum(self.hours)
        feasible = [end for end in sorted(ends) if most_h[end - 1] >= work_h - TINY] or [count]
        candidates = [self._fill_until(end, work_h) for end in feasible]
        return min(candidates, key=lambda widths: float(widths * self.hours @ self.prices))

    def _fill_until(self, end: int, work_h: float) -> Array:
        """``min_trials`` before interval ``end``, and the rest in the cheapest, of equals the earliest."""
        hours = self.hours
        base_h = np.clip(work_h - self.min_trials * (np.cumsum(hours) - hours), 0.0, self.min_trials * hours)
        base_h[end - 1 :] = 0.0  # the work ends somewhere in the last interval
        free_h = (self.max_trials - self.min_trials * (base_h > 0)) * hours
        free_h[end:] = 0.0
        order = np.argsort(self.prices, kind="stable")
        cheaper_h = np.cumsum(free_h[order]) - free_h[order]
        added_h = np.empty_like(free_h)
        added_h[order] = np.clip(work_h - base_h.sum() - cheaper_h, 0.0, free_h[order])
        return np.asarray((base_h + added_h) / hours, dtype=np.float64)

    def fill_after(self, first: int, work_h: float) -> Array:
        """As :meth:`fill`, with the width of the first interval given."""
        first_h = float(self.hours[0])
        done_h = min(first * first_h, work_h)
        later = FreeCapacity(self.edges_s[1:], self.prices[1:], self.min_trials, self.max_trials)
        return np.concatenate([[done_h / first_h], later.fill(work_h - done_h)])

    def affordable_h(self, budget: float) -> float:
        """The trial-hours that a budget (price × trial-hours) pays for, cheapest first."""
        if budget == math.inf:
            return math.inf
        order = np.argsort(self.prices, kind="stable")
        free_h, price = self.max_trials * self.hours[order], np.maximum(self.prices[order], TINY)
        remaining = np.maximum(budget - (np.cumsum(free_h * price) - free_h * price), 0.0)
        return float(np.minimum(free_h, remaining / price).sum())
