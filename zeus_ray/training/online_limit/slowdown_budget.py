"""``max_slowdown`` as a time budget of the whole run, spent by holding two limits in turn.

Over time per unit of work, the energy of all limits has a lower convex hull. The least energy at a mean
slow-down of s lies on it, between the two limits on either side of s: where no limit has just that one,
the run holds the slower of the two while there is time left, and the faster one until there is some again.
The slope of the hull at s is the price of a second: with it added to the cost, the best limit without a bound
is the best one with it (a Lagrange multiplier), so that what to measure next is decided as without a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PAID_BACK_S = 300.0
"""What a run is behind, it makes up for over as long again as it has run, or over this time."""
TOLERATED = 0.004
"""What windows of slow limits may take beyond the bound for a while."""
HOLD_S, HOLD_SHARE = 60.0, 0.02
"""The slower limit is held for at least so many seconds, or this share of the run, at a time."""


@dataclass(frozen=True)
class HullEdge:
    """The two limits (index) whose mixture has the allowed slow-down, and the price of a second between them.

    ``slow`` is ``fast``, and the price 0, where the cheapest limit of all is within the bound.
    """

    fast: int
    slow: int
    price: float


def hull_edge(times: Sequence[float], costs: Sequence[float], known: Sequence[int], most: float) -> HullEdge:
    """The edge of the lower convex hull of ``costs`` over ``times`` that crosses ``most``.

    Args:
        times: per unit of work, by limit.
        costs: per unit of work, by limit, without a price for the bound.
        known: the limits (index) to choose from; the first is the fastest one, which is always allowed.
        most: the mean time per unit that is allowed.
    """
    at = min(known, key=lambda k: (costs[k], k))
    while times[at] > most:
        faster = [k for k in known if times[k] < times[at]]
        if not faster:
            break
        price, k = min(((costs[k] - costs[at]) / (times[at] - times[k]), k) for k in faster)
        if times[k] <= most or k == known[0]:
            return HullEdge(fast=k, slow=at, price=price)
        at = k
    return HullEdge(fast=at, slow=at, price=0.0)


@dataclass(frozen=True)
class SlowdownBudget:
    """How much time a run has left of what its slow-down allows.

    Attributes:
        max_slowdown: the run takes at most this many times as long as at the highest limit.
        work_s: seconds that the work so far takes at the highest limit.
        extra_s: seconds that it took beyond that.
        work_sd_s: standard deviation of ``work_s``: it is known by windows at the highest limit.
    """

    max_slowdown: float
    work_s: float
    extra_s: float
    work_sd_s: float

    @property
    def left_s(self) -> float:
        """Seconds that are left, should ``work_s`` be a standard deviation less; negative: it is behind."""
        return (self.max_slowdown - 1) * self.work_s - self.extra_s - self.max_slowdown * self.work_sd_s

    @property
    def allowed(self) -> float:
        """Slow-down allowed from now on: less than the whole run's while it is behind."""
        behind = min(0.0, self.left_s) / max(self.work_s, PAID_BACK_S)
        return max(1.0, self.max_slowdown + behind)

    @property
    def is_broken(self) -> bool:
        """Whether the run is behind by more than windows of slow limits may be for a while."""
        return self.extra_s > (self.max_slowdown - 1 + TOLERATED) * max(self.work_s, PAID_BACK_S)

    def affords(self, window_s: float, slow_down: float) -> bool:
        """Whether a window at a limit so much slower than the highest one leaves the run within the bound."""
        behind_s = self.extra_s + window_s * (slow_down - 1)
        return behind_s <= (self.max_slowdown - 1 + TOLERATED) * max(self.work_s + window_s, PAID_BACK_S)

    def hold(self, edge: HullEdge, slow_down: float, held: int, record_s: float) -> int:
        """Which limit of ``edge`` to hold next.

        Args:
            edge: of the limits that were measured.
            slow_down: of the slower one.
            held: the limit held now.
            record_s: seconds until this is decided again.
        """
        if edge.slow == edge.fast:
            return edge.slow
        spent = max(0.0, 1 - self.max_slowdown / slow_down)  # seconds of budget per second
        at_least_s = record_s if held == edge.slow else max(HOLD_S, HOLD_SHARE * self.work_s)
        return edge.slow if self.left_s >= spent * at_least_s else edge.fast
