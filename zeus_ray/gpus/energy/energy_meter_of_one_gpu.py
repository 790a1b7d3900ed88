"""Energy of one GPU (J): from its counter, or the integral of its power where it has none."""

from __future__ import annotations

import time
from collections.abc import Callable

from zeus_ray.errors import DeviceError, DeviceLost
from zeus_ray.gpus.energy.counter_phase import TYPICAL_PERIOD_S, CounterPhase, CounterUpdate
from zeus_ray.gpus.energy.readings import EnergyReading
from zeus_ray.gpus.protocol import Gpu
from zeus_ray.records import MeasuredBy

COUNTER_STALLED_S = 1.0
"""A counter that shows the same energy for longer is stalled: no GPU draws 0 W."""
WATCH_COUNTER_EVERY_S = 1.0
SAMPLED_EVERY_S = 1.0
"""Between samples further apart than this the power is not known: it was between 0 and the maximum."""
POWER_SENSOR_ERROR = 0.05
"""Relative error of the power sensor, for the cross-check of the counter."""
OVERSHOOT = 1.25
"""How far above its maximum limit a GPU may draw power for a moment."""
READ_ATTEMPTS = 5
"""How often the counter is read until it is clear which of its updates the value has."""
UNSEEN_S = 0.3
"""A counter's value may be that old, at both ends of an interval."""


class EnergyMeter:
    """Energy of a GPU on the GPU's clock; it never falls, whatever the counter does.

    The energy since the counter's last update is interpolated with the power now; ``err_j`` bounds the
    error: the true power since then was between 0 and the maximum limit. Without a counter, power is
    integrated between calls of ``sample``, and ``err_j`` sums, for each step, half its length times the
    difference of the power at its ends.

    A counter is checked whenever it moves: an increase that is negative (a reset, a step back), more than the
    GPU can draw, or far from the integral of its power is replaced by that integral, and ``drift_j`` grows by
    the error bound of the integral.

    Args:
        gpu: the GPU.
        pause: waits that many seconds on the GPU's clock, while the counter's updates are watched.
    """

    def __init__(self, gpu: Gpu, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._gpu = gpu
        self._pause = pause
        self._has_counter = gpu.measured_by is not MeasuredBy.POWER_INTEGRAL
        self._phase = (
            CounterPhase(gpu.energy_j, gpu.now_s, pause) if gpu.measured_by is MeasuredBy.COUNTER else None
        )
        self._power_w = 0.0
        self._power_at_s = self._watch_at_s = gpu.now_s()
        self._integral_j = self._integral_err_j = 0.0
        self._offset_j = 0.0
        self._count_j = gpu.energy_j() if self._has_counter else 0.0
        self._count_changed_s = self._power_at_s
        self._unsampled_j = self._drift_j = 0.0
        self._at_change = (0.0, 0.0, 0.0)
        self._stalled = False
        self._lower_bound_j = 0.0
        self._sample_power()

    @property
    def integrates(self) -> bool:
        """Whether energy is the integral of power, for lack of a counter."""
        return not self._has_counter

    def resume(self, last: EnergyReading) -> None:
        """Continue from the last reading of the meter of an earlier process.

        Without a counter, the energy since then is estimated with the power now.
        """
        gap_s = max(0.0, self._power_at_s - last.at_s)
        if self._has_counter:
            drawn_j, most_j = self._count_j - last.count_j, self._most_w * (gap_s + UNSEEN_S)
            self._offset_j, self._drift_j = last.offset_j, last.drift_j
            if not 0 <= drawn_j <= most_j:  # reset or wrong: estimated with the power now
                estimate_j = min(self._power_w * gap_s, most_j)
                self._offset_j += estimate_j - drawn_j
                self._drift_j += most_j - estimate_j if estimate_j < most_j / 2 else estimate_j
            return
        missed_j = self._power_w * gap_s
        self._integral_j = last.energy_j + missed_j
        self._integral_err_j = missed_j

    def watch(self) -> list[CounterUpdate]:
        """Watch the counter's updates, for :meth:`learn`; [] where there is nothing to learn now.

        Takes up to two periods the first time, milliseconds after that. Changes no state, so the
        caller needs no lock meanwhile.
        """
        phase, now_s = self._phase, self._gpu.now_s()
        if phase is None or now_s < self._watch_at_s:
            return []
        updates = phase.watch()
        # A stalled counter is watched rarely, one whose period is not known well, often.
        next_s = phase.valid_for_s / 2 if updates else WATCH_COUNTER_EVERY_S
        self._watch_at_s = now_s + min(WATCH_COUNTER_EVERY_S, next_s)
        return updates

    def learn(self, updates: list[CounterUpdate]) -> None:
        """Take observed updates of the counter into account."""
        if self._phase is not None:
            self._phase.learn(updates)

    def sample(self, power_w: float) -> None:
        """Add the power now to the integral."""
        now_s = self._gpu.now_s()
        step_s = max(0.0, now_s - self._power_at_s)
        self._integral_j += (self._power_w + power_w) / 2 * step_s
        self._integral_err_j += abs(power_w - self._power_w) / 2 * step_s
        if step_s > SAMPLED_EVERY_S:
            self._unsampled_j += self._most_w * step_s
        self._power_w, self._power_at_s = power_w, now_s

    def check_counter(self) -> None:
        """Check the counter against the power sampled since it moved last. Raises DeviceError."""
        if self._phase is not None:
            now_s, count_j = self._gpu.now_s(), self._gpu.energy_j()
            if count_j != self._count_j:
                self._on_change(now_s, count_j)

    def read(self) -> EnergyReading:
        """Energy now. Raises DeviceLost, and DeviceError where the counter does not answer."""
        if not self._has_counter:
            self._sample_power()
            return EnergyReading(at_s=self._power_at_s, energy_j=self._integral_j, err_j=self._integral_err_j)
        if self._phase is None:
            return EnergyReading(at_s=self._gpu.now_s(), energy_j=self._gpu.energy_j(), err_j=0.0)
        return self._read_counter(self._phase)

    def _read_counter(self, phase: CounterPhase) -> EnergyReading:
        now_s, count_j, uncertain_s = self._count_now(phase)
        self._sample_power()
        if count_j != self._count_j:
            self._on_change(now_s, count_j)
        self._stalled = now_s - self._count_changed_s > COUNTER_STALLED_S
        missing_j, err_j = self._since_change()[:2] if self._stalled else self._since_update(phase, now_s)
        self._lower_bound_j = max(self._lower_bound_j, self._offset_j + count_j + missing_j)
        return EnergyReading(
            at_s=now_s,
            energy_j=self._lower_bound_j,
            err_j=err_j + uncertain_s * self._most_w,
            count_j=count_j,
            offset_j=self._offset_j,
            drift_j=self._drift_j,
        )

    def _count_now(self, phase: CounterPhase) -> tuple[float, float, float]:
        """A time (s), the counter then (J), and how long after that time its value may be of (s).

        An update that is due right now may or may not be in the value: it is waited for, milliseconds. So
        it is where this process had to wait for a processor between reading the clock and the counter.
        """
        for _ in range(READ_ATTEMPTS):
            ambiguous_s = phase.ambiguous_for_s(self._gpu.now_s())
            if ambiguous_s:
                self._pause(ambiguous_s)
            now_s, count_j = self._gpu.now_s(), self._gpu.energy_j()
            uncertain_s = phase.uncertain_for_s(now_s, self._gpu.now_s())
            if not uncertain_s:
                break
        return now_s, count_j, uncertain_s

    @property
    def _most_w(self) -> float:
        """The most that the GPU can draw (W)."""
        return OVERSHOOT * max(self._gpu.range.max_w, self._power_w)

    def _on_change(self, now_s: float, count_j: float) -> None:
        """Handle a counter that has moved: as the power says, or not; forward after a stall."""
        delta_j = count_j - self._count_j
        integral_j, err_j, unsampled_j = self._since_change()
        tolerance_j = err_j + unsampled_j + POWER_SENSOR_ERROR * integral_j + 2 * UNSEEN_S * self._most_w
        most_j = self._most_w * (now_s - self._count_changed_s + 2 * UNSEEN_S)
        if delta_j < 0 or delta_j > most_j or delta_j > integral_j + tolerance_j:
            self._offset_j += integral_j - delta_j
            self._drift_j += self._replacement_err_j(integral_j, err_j + min(unsampled_j, most_j))
        elif delta_j < integral_j - tolerance_j or (self._stalled and delta_j < integral_j):
            self._offset_j += integral_j - delta_j  # the counter left the energy of its stall out
            if not self._stalled:
                self._drift_j += self._replacement_err_j(integral_j, err_j)
        self._count_j, self._count_changed_s = count_j, now_s
        self._at_change = (self._integral_j, self._integral_err_j, self._unsampled_j)

    def _replacement_err_j(self, integral_j: float, err_j: float) -> float:
        """Error bound where the integral replaces the counter, whose values are up to a period old."""
        period_s = (self._phase.period_s if self._phase else 0.0) or TYPICAL_PERIOD_S
        return err_j + POWER_SENSOR_ERROR * integral_j + period_s * self._most_w

    def _since_change(self) -> tuple[float, float, float]:
        """Integral of power since the counter last moved (J), its error bound, and what could not be seen."""
        then_j, then_err_j, then_unsampled_j = self._at_change
        return (
            self._integral_j - then_j,
            self._integral_err_j - then_err_j,
            self._unsampled_j - then_unsampled_j,
        )

    def _since_update(self, phase: CounterPhase, now_s: float) -> tuple[float, float]:
        """Energy since the counter's last update (J), and its error bound."""
        age_s, error_s = phase.age(now_s)
        max_w = max(self._gpu.range.max_w, self._power_w)
        err_j = max(self._power_w, max_w - self._power_w) * age_s + max_w * error_s
        return self._power_w * age_s, err_j

    def _sample_power(self) -> None:
        """Sample the power now; a reading that times out is replaced by the last one."""
        try:
            self.sample(self._gpu.power_w())
        except DeviceLost:
            raise
        except DeviceError:
            self.sample(self._power_w)
