"""Joules of one board: from its counter, or from its power where it has none."""

from __future__ import annotations

import time
from collections.abc import Callable

from zeus_ray.errors import DeviceError, DeviceLost
from zeus_ray.gpus.energy.counter_phase import CounterPhase, Tick
from zeus_ray.gpus.energy.readings import EnergyReading
from zeus_ray.gpus.protocol import Gpu
from zeus_ray.records import MeasuredBy

STALLED_S = 1.0
"""A counter that shows the same joules after so long stands still: no board draws nothing."""
WATCH_EVERY_S = 1.0


class EnergyMeter:
    """Energy of a board on its own clock; it never falls, whatever the counter does.

    What a counter has not shown yet is interpolated with the power now; ``err_j`` is what that can
    be off at most: the board may have drawn anything between nothing and its maximum meanwhile.
    Without a counter power is integrated between calls of ``sample``, and ``err_j`` is the difference
    between the two readings at the ends of each step, over half the step.

    Args:
        gpu: the board.
        pause: waits that many seconds on the board's clock, while the counter's rhythm is learnt.
    """

    def __init__(self, gpu: Gpu, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._gpu = gpu
        self._pause = pause
        self._counts = gpu.measured_by is not MeasuredBy.POWER_INTEGRAL
        self._ticks = (
            CounterPhase(gpu.energy_j, gpu.now_s, pause) if gpu.measured_by is MeasuredBy.COUNTER else None
        )
        self._power_w = 0.0
        self._power_s = self._watch_at_s = gpu.now_s()
        self._integral_j = self._integral_err_j = 0.0
        self._offset_j = 0.0
        self._count_j = gpu.energy_j() if self._counts else 0.0
        self._counted_s = self._power_s
        self._integral_then = (0.0, 0.0)
        self._stalled = False
        self._least_j = 0.0
        self._note_power()

    @property
    def integrates(self) -> bool:
        """Whether there is no counter to go by."""
        return not self._counts

    def resume(self, mark: EnergyReading) -> None:
        """Go on where a meter before this one stood; without a counter, as if power had been as now since."""
        if self._counts:
            reloaded = self._count_j < mark.count_j
            self._offset_j = mark.offset_j + (mark.count_j if reloaded else 0.0)
            return
        unseen_j = self._power_w * max(0.0, self._power_s - mark.at_s)
        self._integral_j = mark.energy_j + unseen_j
        self._integral_err_j = unseen_j

    def watch(self) -> list[Tick]:
        """Watch the counter tick, for :meth:`learn`; [] where nothing is to be learnt now.

        Takes up to two periods the first time, milliseconds after that. Changes nothing, so the
        caller needs no lock meanwhile.
        """
        ticks, now_s = self._ticks, self._gpu.now_s()
        if ticks is None or now_s < self._watch_at_s:
            return []
        seen = ticks.watch()
        # A counter that stands still is not worth watching often, one that is hardly known is.
        soon_s = ticks.good_for_s / 2 if seen else WATCH_EVERY_S
        self._watch_at_s = now_s + min(WATCH_EVERY_S, soon_s)
        return seen

    def learn(self, seen: list[Tick]) -> None:
        """Take note of ticks."""
        if self._ticks is not None:
            self._ticks.learn(seen)

    def sample(self, power_w: float) -> None:
        """Take note of the power now."""
        now_s = self._gpu.now_s()
        step_s = max(0.0, now_s - self._power_s)
        self._integral_j += (self._power_w + power_w) / 2 * step_s
        self._integral_err_j += abs(power_w - self._power_w) / 2 * step_s
        self._power_w, self._power_s = power_w, now_s

    def read(self) -> EnergyReading:
        """Energy now. Raises DeviceLost, and DeviceError where the counter does not answer."""
        if not self._counts:
            self._note_power()
            return EnergyReading(at_s=self._power_s, energy_j=self._integral_j, err_j=self._integral_err_j)
        if self._ticks is None:
            return EnergyReading(at_s=self._gpu.now_s(), energy_j=self._gpu.energy_j(), err_j=0.0)
        return self._count(self._ticks)

    def _count(self, ticks: CounterPhase) -> EnergyReading:
        for _ in range(3):  # a tick right now could be counted or not: wait it out, milliseconds
            unclear_s = ticks.unclear_s(self._gpu.now_s())
            if not unclear_s:
                break
            self._pause(unclear_s)
        now_s, count_j = self._gpu.now_s(), self._gpu.energy_j()
        self._note_power()
        if count_j != self._count_j:
            self._advance(now_s, count_j)
        self._stalled = now_s - self._counted_s > STALLED_S
        unseen_j, err_j = self._since_count() if self._stalled else self._since_tick(ticks, now_s)
        energy_j = max(self._least_j, self._offset_j + count_j + unseen_j)
        self._least_j = energy_j
        return EnergyReading(
            at_s=now_s, energy_j=energy_j, err_j=err_j, count_j=count_j, offset_j=self._offset_j
        )

    def _advance(self, now_s: float, count_j: float) -> None:
        """The counter has moved: on, back to zero, or on again after it stood still."""
        missed_j = self._since_count()[0] - (count_j - self._count_j)
        if count_j < self._count_j:  # the driver was loaded again: what the counter had is history
            self._offset_j += self._count_j
        elif self._stalled and missed_j > 0:  # it did not make up for the time it stood still
            self._offset_j += missed_j
        self._count_j, self._counted_s = count_j, now_s
        self._integral_then = (self._integral_j, self._integral_err_j)

    def _since_count(self) -> tuple[float, float]:
        """Joules by power since the counter last moved, and how far that may be off."""
        then_j, then_err_j = self._integral_then
        return self._integral_j - then_j, self._integral_err_j - then_err_j

    def _since_tick(self, ticks: CounterPhase, now_s: float) -> tuple[float, float]:
        """Joules the counter does not show yet, and how far that may be off."""
        age_s, within_s = ticks.age(now_s)
        most_w = max(self._gpu.range.max_w, self._power_w)
        err_j = max(self._power_w, most_w - self._power_w) * age_s + most_w * within_s
        return self._power_w * age_s, err_j

    def _note_power(self) -> None:
        """A power reading that times out leaves the last one in force."""
        try:
            self.sample(self._gpu.power_w())
        except DeviceLost:
            raise
        except DeviceError:
            self.sample(self._power_w)
