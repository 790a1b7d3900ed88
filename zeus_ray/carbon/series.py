"""Carbon intensity or price over time: regular intervals, each with one value.

Times are seconds since 1970 in UTC (``time.time()``), so that neither time zones nor daylight-saving
changes affect any calculation. Values are grams of CO2 equivalent per kWh, or money per kWh.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from zeus_ray.errors import BadInput

Array = npt.NDArray[np.float64]

EARLIEST_S, LATEST_S = 1e8, 7.26e9
"""The years 1973 to 2199; a time outside them is an error in the data."""


@dataclass(frozen=True)
class Series:
    """``values[i]`` holds from ``start_s + i * step_s`` for ``step_s`` seconds; NaN is a gap.

    Raises:
        BadInput: ``step_s`` is not a positive number.
    """

    start_s: float
    step_s: float
    values: Array

    def __post_init__(self) -> None:
        """Check the step."""
        if not (math.isfinite(self.step_s) and self.step_s > 0):
            raise BadInput(f"step is {self.step_s!r} s; a positive number of seconds is needed")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def end_s(self) -> float:
        """The end of the last interval."""
        return self.start_s + len(self) * self.step_s

    def at(self, time_s: float) -> float:
        """The value of the interval that contains ``time_s``; NaN outside the series and in a gap."""
        index = math.floor((time_s - self.start_s) / self.step_s)
        return float(self.values[index]) if 0 <= index < len(self) else math.nan

    def between(self, from_s: float, to_s: float) -> Series:
        """The intervals that begin in [from_s, to_s), as far as the series covers them."""
        first = max(0, math.ceil((from_s - self.start_s) / self.step_s - 1e-9))
        last = max(first, min(len(self), math.ceil((to_s - self.start_s) / self.step_s - 1e-9)))
        return Series(self.start_s + first * self.step_s, self.step_s, self.values[first:last])

    def since(self, now_s: float, horizon_s: float) -> Series:
        """From the interval that contains ``now_s`` to the last that begins before ``now_s + horizon_s``."""
        return self.between(now_s - self.step_s * (1 - 1e-6), now_s + horizon_s)

    def integral(self, from_s: float, to_s: float) -> float:
        """∫ value dt over [from_s, to_s], in value-seconds; NaN if that includes a gap or leaves the series.

        At constant power P (W) the emissions (g) or the price are ``P / J_PER_KWH * integral``.
        """
        if to_s <= from_s:
            return 0.0
        if from_s < self.start_s or to_s > self.end_s:
            return math.nan
        edges = self.start_s + self.step_s * np.arange(len(self) + 1)
        widths = np.clip(np.minimum(edges[1:], to_s) - np.maximum(edges[:-1], from_s), 0.0, None)
        inside = widths > 0
        return float(widths[inside] @ self.values[inside])

    def without_gaps(self) -> Series:
        """The series with each gap set to the value before it, or at the start to the first value."""
        return Series(self.start_s, self.step_s, fill_gaps(self.values))


def fill_gaps(values: Array) -> Array:
    """``values`` with each NaN replaced by the last number before it, or at the start by the first number.

    If all are NaN they stay NaN.
    """
    numbers = np.flatnonzero(np.isfinite(values))
    if not len(numbers):
        return values
    last = np.searchsorted(numbers, np.arange(len(values)), side="right") - 1
    return values[numbers[np.maximum(last, 0)]]


class Signal(Protocol):
    """A source of carbon intensity or price. Its methods return at once and never raise."""

    @property
    def unit(self) -> str:
        """Unit of the values: "gCO2eq/kWh", or a currency per kWh such as "EUR/kWh"."""

    def at(self, time_s: float) -> float:
        """The value at ``time_s``: as measured, else an estimate; NaN only if there is no data at all."""

    def history(self, from_s: float, to_s: float) -> Series:
        """The measured values in [from_s, to_s): possibly shorter, possibly with gaps."""

    def forecast(self, now_s: float, horizon_s: float) -> Series | None:
        """The provider's own forecast from ``now_s`` on; None if it has none."""
