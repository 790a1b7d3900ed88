"""Signals of carbon intensity or price that need no provider: a constant, and a recorded series."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from zeus_ray.carbon.series import Series
from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import HOUR_S
from zeus_ray.records import GRAMS


@dataclass(frozen=True)
class ConstantSignal:
    """The same ``value`` (per kWh) at all times: a fixed tariff, or a grid of which only the mean is known.

    Raises:
        BadInput: ``value`` is not finite, or grams below zero.
    """

    value: float
    unit: str = GRAMS

    def __post_init__(self) -> None:
        """Check the value."""
        if not math.isfinite(self.value) or (self.unit == GRAMS and self.value < 0):
            raise BadInput(
                f"constant is {self.value!r} {self.unit}; a finite number is needed, grams not below 0"
            )

    def at(self, time_s: float) -> float:  # noqa: ARG002 — the protocol's argument
        """The value, at any time."""
        return self.value

    def history(self, from_s: float, to_s: float) -> Series:
        """Whole hours that begin in [from_s, to_s)."""
        first = math.ceil(from_s / HOUR_S)
        hours = max(0, math.ceil(to_s / HOUR_S) - first)
        return Series(first * HOUR_S, HOUR_S, np.full(hours, self.value))

    def forecast(self, now_s: float, horizon_s: float) -> Series:
        """Whole hours, from the one that contains ``now_s``."""
        return self.history(math.floor(now_s / HOUR_S) * HOUR_S, now_s + horizon_s)


@dataclass(frozen=True)
class RecordedSignal:
    """A recorded series, such as a file of past intensity or of day-ahead prices.

    In a gap and after the end ``at`` gives the last value before, and before the start the first one.

    Args:
        series: intervals with values per ``unit``.
        unit: as in :class:`Signal`.
        knows_future: intervals after now are a forecast (day-ahead prices). False to replay a recording
            as if its future were not known.

    Raises:
        BadInput: the series has no value.
    """

    series: Series
    unit: str = GRAMS
    knows_future: bool = True
    _filled: Series = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Fill the gaps once."""
        if not np.isfinite(self.series.values).any():
            raise BadInput(f"none of {len(self.series)} intervals has a value")
        object.__setattr__(self, "_filled", self.series.without_gaps())

    def at(self, time_s: float) -> float:
        """The value of the interval that contains ``time_s``; see the class for gaps and times outside."""
        if not math.isfinite(time_s):
            return math.nan
        index = math.floor((time_s - self._filled.start_s) / self._filled.step_s)
        return float(self._filled.values[min(max(index, 0), len(self._filled) - 1)])

    def history(self, from_s: float, to_s: float) -> Series:
        """The recorded values, gaps as NaN."""
        return self.series.between(from_s, to_s)

    def forecast(self, now_s: float, horizon_s: float) -> Series | None:
        """The intervals from the one that contains ``now_s``, as far as the recording reaches."""
        if not self.knows_future:
            return None
        future = self.series.since(now_s, horizon_s)
        return future if np.isfinite(future.values).any() else None
