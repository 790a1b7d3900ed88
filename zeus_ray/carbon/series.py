"""Carbon intensity or price over time: regular intervals, each with one value.

Times are seconds since 1970 in UTC (``time.time()``), so that neither time zones nor daylight-saving
changes reach the decisions. Values are grams of CO2 equivalent per kWh, or money per kWh.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from zeus_ray.errors import BadInput

Array = npt.NDArray[np.float64]

J_PER_KWH = 3.6e6


@dataclass(frozen=True)
class Series:
    """``values[i]`` holds from ``start_s + i * step_s`` for ``step_s`` seconds; NaN is a gap.

    Raises:
        BadInput: a step that is not positive.
    """

    start_s: float
    step_s: float
    values: Array

    def __post_init__(self) -> None:
        """Refuse what has no time axis."""
        if not (math.isfinite(self.step_s) and self.step_s > 0):
            raise BadInput(f"step is {self.step_s!r} s; a positive number of seconds is needed")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def end_s(self) -> float:
        """The end of the last interval."""
        return self.start_s + len(self) * self.step_s

    def at(self, time_s: float) -> float:
        """The value of the interval that holds ``time_s``; NaN outside, or in a gap."""
        index = math.floor((time_s - self.start_s) / self.step_s)
        return float(self.values[index]) if 0 <= index < len(self) else math.nan

    def between(self, from_s: float, to_s: float) -> Series:
        """The intervals that begin in [from_s, to_s); fewer, or none, where it does not reach."""
        first = max(0, math.ceil((from_s - self.start_s) / self.step_s - 1e-9))
        last = max(first, min(len(self), math.ceil((to_s - self.start_s) / self.step_s - 1e-9)))
        return Series(self.start_s + first * self.step_s, self.step_s, self.values[first:last])

    def integral(self, from_s: float, to_s: float) -> float:
        """∫ value dt over [from_s, to_s], in value-seconds; NaN where it reaches into a gap or outside.

        At constant power P (W), grams (or money) are ``P / J_PER_KWH * integral``.
        """
        if to_s <= from_s:
            return 0.0
        if from_s < self.start_s or to_s > self.end_s:
            return math.nan
        edges = self.start_s + self.step_s * np.arange(len(self) + 1)
        widths = np.clip(np.minimum(edges[1:], to_s) - np.maximum(edges[:-1], from_s), 0.0, None)
        inside = widths > 0
        return float(widths[inside] @ self.values[inside])


class Signal(Protocol):
    """Where intensity or price comes from. None of its methods raises or waits for long."""

    @property
    def unit(self) -> str:
        """Per kWh: "gCO2eq/kWh", or a currency per kWh such as "EUR/kWh"."""

    def at(self, time_s: float) -> float:
        """The value now: measured, or else the stated fallback; NaN only where nothing was ever known."""

    def history(self, from_s: float, to_s: float) -> Series:
        """What is known of the past in [from_s, to_s): possibly shorter, possibly with gaps."""

    def forecast(self, now_s: float, horizon_s: float) -> Series | None:
        """The provider's own forecast from ``now_s`` on; None where it has none."""
