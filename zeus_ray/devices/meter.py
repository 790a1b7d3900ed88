"""Joules of one board: from its counter, or from its power where it has none."""

from __future__ import annotations

from zeus_ray.devices.gpu import Gpu
from zeus_ray.records import MeasuredBy


class Meter:
    """Energy of a board on its own clock; never falls, also when the counter starts again at zero.

    Without a counter, ``sample`` must be called often: power is integrated between calls.
    """

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._counts = gpu.measured_by is not MeasuredBy.POWER_INTEGRAL
        self._lost_j = 0.0
        self._last_j = 0.0
        self._last_w = 0.0
        self._last_s = gpu.now_s()
        if self._counts:
            self._last_j = gpu.energy_j()
        else:
            self._last_w = gpu.power_w()

    def read(self) -> tuple[float, float]:
        """(energy_j since an arbitrary origin, at_s)."""
        if self._counts:
            return self._count()
        return self._integrate(self._gpu.power_w())

    def sample(self, power_w: float) -> None:
        """Take note of the power now."""
        if not self._counts:
            self._integrate(power_w)

    def _count(self) -> tuple[float, float]:
        now_s, now_j = self._gpu.now_s(), self._gpu.energy_j()
        if now_j < self._last_j:  # the driver was loaded again: what the counter had is history
            self._lost_j += self._last_j
        self._last_j = now_j
        return self._lost_j + now_j, now_s

    def _integrate(self, power_w: float) -> tuple[float, float]:
        now_s = self._gpu.now_s()
        self._last_j += (self._last_w + power_w) / 2 * (now_s - self._last_s)
        self._last_w, self._last_s = power_w, now_s
        return self._last_j, now_s
