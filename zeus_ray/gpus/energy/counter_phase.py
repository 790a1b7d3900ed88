"""Period and phase of an energy counter's updates, found by watching it.

NVML updates its counter about every 100 ms: read at a random moment, its value is half a period old on
average, which is 1.5 % of a window of two seconds. With the time of the last update known, the energy
since then can be interpolated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

COUNTER_POLL_S = 0.001
STALL_POLLS, STALL_TIMEOUT_S = 400, 0.5
"""Polls, and seconds, after which a counter counts as stalled: several of its periods of 100 ms."""
TYPICAL_PERIOD_S = 0.1
"""The period of most NVML counters: the estimate before this one was watched."""
CONTINUOUS_PERIOD_S = 0.005
"""A counter with a shorter period is used without interpolation."""


@dataclass(frozen=True)
class CounterUpdate:
    """An update of the counter, observed between two reads: at ``at_s`` ± ``error_s``."""

    at_s: float
    error_s: float


class CounterPhase:
    """Period and phase of one counter.

    Args:
        read: returns the counter (J).
        clock: the GPU's clock (s).
        pause: waits that many seconds on the GPU's clock.
    """

    def __init__(
        self, read: Callable[[], float], clock: Callable[[], float], pause: Callable[[float], None]
    ) -> None:
        self.period_s = 0.0
        self._read = read
        self._clock = clock
        self._pause = pause
        self._first = self._last = CounterUpdate(0.0, 0.0)
        self._count = 0
        self._jitter_s = 0.0

    @property
    def known(self) -> bool:
        """Whether period and phase have been found."""
        return self._count > 0

    @property
    def continuous(self) -> bool:
        """Whether the period is too short to matter."""
        return self.known and self.period_s < CONTINUOUS_PERIOD_S

    @property
    def valid_for_s(self) -> float:
        """How long after the last observed update the next ones can be counted for certain; 0 if unknown."""
        if not self.known:
            return 0.0
        return self.period_s**2 / 4 * self._count / (self._first.error_s + self._last.error_s)

    def watch(self) -> list[CounterUpdate]:
        """The next update, or the next two while the period is unknown; [] if the counter is stalled."""
        wanted = 1 if self.known else 2
        updates = [] if self.continuous else [self._next_update() for _ in range(wanted)]
        return [update for update in updates if update is not None]

    def learn(self, updates: list[CounterUpdate]) -> None:
        """Take what :meth:`watch` has returned into account."""
        if not self.known and len(updates) == 2:
            self._first, self._last = updates
            self._count, self.period_s = 1, updates[1].at_s - updates[0].at_s
        elif self.known and updates and updates[0].error_s < self.period_s / 4:
            self._refine(updates[0])

    def age(self, now_s: float) -> tuple[float, float]:
        """Age of the counter's value at ``now_s``, and the error bound of that age (s)."""
        if not self.known:
            period_s = self.period_s or TYPICAL_PERIOD_S
            return period_s / 2, period_s / 2
        if self.continuous:
            return 0.0, 0.0
        steps, age_s = divmod(max(0.0, now_s - self._last.at_s), self.period_s)
        error_s = self._last.error_s + self._drift_s(steps) + self._jitter_s
        return (age_s, error_s) if 4 * error_s < self.period_s else (self.period_s / 2, self.period_s / 2)

    def ambiguous_for_s(self, now_s: float) -> float:
        """How long it stays unclear whether the counter has just been updated; 0 where it is clear."""
        age_s, error_s = self.age(now_s)
        if not error_s or 4 * error_s >= self.period_s:
            return 0.0
        if age_s <= error_s:
            return error_s - age_s + COUNTER_POLL_S
        if self.period_s - age_s <= error_s:
            return self.period_s - age_s + error_s + COUNTER_POLL_S
        return 0.0

    def uncertain_for_s(self, begin_s: float, end_s: float) -> float:
        """How much newer than ``begin_s`` a value may be that was read between the two times (s).

        0 where the counter was not updated in between for certain.
        """
        age_s, error_s = self.age(begin_s)
        read_s = end_s - begin_s
        if not self.known or self.continuous or 4 * error_s >= self.period_s:
            return read_s if read_s > COUNTER_POLL_S else 0.0
        if error_s <= age_s and age_s + read_s + error_s <= self.period_s:
            return 0.0
        return read_s + self.period_s

    def _refine(self, update: CounterUpdate) -> None:
        elapsed_s = update.at_s - self._last.at_s
        steps = max(1, round(elapsed_s / self.period_s))
        off_s = abs(elapsed_s - steps * self.period_s)
        if max(off_s, self._drift_s(steps)) > self.period_s / 4:
            self._count = (
                0  # the period has changed, or the updates in between cannot be counted: start again
            )
            return
        self._jitter_s = max(0.9 * self._jitter_s, off_s - update.error_s - self._last.error_s, 0.0)
        self._count += steps
        self.period_s = (update.at_s - self._first.at_s) / self._count
        self._last = update

    def _drift_s(self, steps: float) -> float:
        """The error that the period's own uncertainty adds up to over ``steps`` periods."""
        return (self._first.error_s + self._last.error_s) * steps / self._count

    def _next_update(self) -> CounterUpdate | None:
        """Wait for the next update; None where the counter is stalled."""
        if self.known:
            age_s, error_s = self.age(self._clock())
            self._pause(max(0.0, self.period_s - age_s - error_s - 2 * COUNTER_POLL_S))
        low_s, before_j = self._clock(), self._read()
        give_up_s = low_s + STALL_TIMEOUT_S
        for _ in range(STALL_POLLS):
            self._pause(COUNTER_POLL_S)
            begin_s, now_j = self._clock(), self._read()
            high_s = self._clock()
            if now_j < before_j:  # a reset, or a step back: no update
                before_j = now_j
            elif now_j > before_j:
                return CounterUpdate((low_s + high_s) / 2, (high_s - low_s) / 2)
            if high_s > give_up_s:
                break
            low_s = begin_s
        return None
