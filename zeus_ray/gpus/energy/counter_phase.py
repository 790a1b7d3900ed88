"""The rhythm in which an energy counter is refreshed, learnt by watching it.

NVML refreshes its counter about every 100 ms: read at any moment, it is half a tick old on average,
which is 1.5 % of a window of two seconds. Knowing when it last ticked, the rest can be interpolated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

POLL_S = 0.001
PATIENCE, PATIENCE_S = 400, 0.5
"""Polls, and seconds, before a counter is taken to stand still: several times the 100 ms it should need."""
USUAL_S = 0.1
"""The period that NVML's counters have as a rule: the guess before one was watched."""
CONTINUOUS_S = 0.005
"""A counter that ticks faster than this is read as it is."""


@dataclass(frozen=True)
class Tick:
    """A tick that was seen, between two reads of the counter."""

    at_s: float
    within_s: float


class CounterPhase:
    """Period and phase of a counter.

    Args:
        read: the counter (J).
        clock: the board's clock (s).
        pause: waits that many seconds on the board's clock.
    """

    def __init__(
        self, read: Callable[[], float], clock: Callable[[], float], pause: Callable[[float], None]
    ) -> None:
        self.period_s = 0.0
        self._read = read
        self._clock = clock
        self._pause = pause
        self._first = self._last = Tick(0.0, 0.0)
        self._count = 0
        self._jitter_s = 0.0

    @property
    def known(self) -> bool:
        """Whether the rhythm has been seen."""
        return self._count > 0

    @property
    def continuous(self) -> bool:
        """Whether the counter has no rhythm that matters."""
        return self.known and self.period_s < CONTINUOUS_S

    @property
    def good_for_s(self) -> float:
        """How long after the last tick seen the next ones can be counted for certain; 0 if not known."""
        if not self.known:
            return 0.0
        return self.period_s**2 / 4 * self._count / (self._first.within_s + self._last.within_s)

    def watch(self) -> list[Tick]:
        """The next tick, or the next two where the rhythm is not known yet; [] if it stands still."""
        wanted = 1 if self.known else 2
        seen = [] if self.continuous else [self._next() for _ in range(wanted)]
        return [tick for tick in seen if tick is not None]

    def learn(self, seen: list[Tick]) -> None:
        """Take note of what :meth:`watch` has seen."""
        if not self.known and len(seen) == 2:
            self._first, self._last = seen
            self._count, self.period_s = 1, seen[1].at_s - seen[0].at_s
        elif self.known and seen and seen[0].within_s < self.period_s / 4:
            self._follow(seen[0])

    def age(self, now_s: float) -> tuple[float, float]:
        """How old the counter's value is at ``now_s``, and how far that may be off (s)."""
        if not self.known:
            guess_s = self.period_s or USUAL_S
            return guess_s / 2, guess_s / 2
        if self.continuous:
            return 0.0, 0.0
        steps, age_s = divmod(max(0.0, now_s - self._last.at_s), self.period_s)
        drift_s = self._drift_s(steps)
        within_s = self._last.within_s + drift_s + self._jitter_s
        return (age_s, within_s) if 4 * within_s < self.period_s else (self.period_s / 2, self.period_s / 2)

    def unclear_s(self, now_s: float) -> float:
        """How long to wait until it is clear whether the counter has just ticked; 0 where it is."""
        age_s, within_s = self.age(now_s)
        if not within_s or 4 * within_s >= self.period_s:
            return 0.0
        if age_s <= within_s:
            return within_s - age_s + POLL_S
        if self.period_s - age_s <= within_s:
            return self.period_s - age_s + within_s + POLL_S
        return 0.0

    def _follow(self, tick: Tick) -> None:
        apart_s = tick.at_s - self._last.at_s
        steps = max(1, round(apart_s / self.period_s))
        off_s = abs(apart_s - steps * self.period_s)
        if max(off_s, self._drift_s(steps)) > self.period_s / 4:
            self._count = 0  # out of step, or too long ago to count the ticks between: learn again
            return
        unsure_s = tick.within_s + self._last.within_s
        self._jitter_s = max(0.9 * self._jitter_s, off_s - unsure_s, 0.0)
        self._count += steps
        self.period_s = (tick.at_s - self._first.at_s) / self._count
        self._last = tick

    def _drift_s(self, steps: float) -> float:
        """How far the period's own uncertainty adds up to."""
        return (self._first.within_s + self._last.within_s) * steps / self._count

    def _next(self) -> Tick | None:
        """Wait for the next tick; None where the counter stands still."""
        if self.known:
            now_s = self._clock()
            age_s, within_s = self.age(now_s)
            self._pause(max(0.0, self.period_s - age_s - within_s - 2 * POLL_S))
        low_s, before = self._clock(), self._read()
        give_up_s = low_s + PATIENCE_S
        for _ in range(PATIENCE):
            self._pause(POLL_S)
            began_s, value = self._clock(), self._read()
            high_s = self._clock()
            if value != before:
                return Tick((low_s + high_s) / 2, (high_s - low_s) / 2)
            if high_s > give_up_s:
                break
            low_s = began_s
        return None
