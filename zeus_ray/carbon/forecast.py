"""The next hours of intensity or price, from its past: one class per way, each with ``forecast``.

All begin where the history ends, with its step. A gap in the history is no news: it is passed over.
Where nothing is known there is nothing to say: NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zeus_ray.carbon.series import Array, Series, Signal
from zeus_ray.carbon.signal import hold

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
WEEK_S = 7 * DAY_S
LOOK_BACK_S = 4 * WEEK_S


class Forecaster(Protocol):
    """A way to look ahead from history alone."""

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """From ``history.end_s`` on, same step, at least ``horizon_s`` (s); no NaN if anything is known."""


def look_ahead(
    signal: Signal, now_s: float, horizon_s: float, forecaster: Forecaster | None = None
) -> Series:
    """What to expect of ``signal`` from about ``now_s`` on: its provider's forecast, then ours.

    The provider's own forecast as far as it reaches and without its gaps, else ``forecaster`` on the
    last four weeks, else the value now at every time. Covers ``now_s`` and all ``horizon_s`` after
    it; no value is NaN unless nothing was ever known of the signal.
    """
    ours = _from_history(signal, now_s, horizon_s, forecaster or Blend())
    own = signal.forecast(now_s, horizon_s)
    if own is None or not len(own):
        return ours
    # On the provider's axis; our values fill what it left out.
    first = math.floor((now_s - own.start_s) / own.step_s)
    count = math.ceil((now_s + horizon_s - own.start_s) / own.step_s - 1e-9) - first
    start_s = own.start_s + first * own.step_s
    values = np.array([_first_known(own, ours, start_s + (i + 0.5) * own.step_s) for i in range(count)])
    return Series(start_s, own.step_s, values)


def _first_known(own: Series, ours: Series, time_s: float) -> float:
    value = own.at(time_s)
    return value if math.isfinite(value) else ours.at(min(max(time_s, ours.start_s), ours.end_s - 1e-3))


def _from_history(signal: Signal, now_s: float, horizon_s: float, forecaster: Forecaster) -> Series:
    """Ours alone, from the interval that holds ``now_s`` on."""
    past = signal.history(now_s - LOOK_BACK_S, now_s)
    if not np.isfinite(past.values).any():
        start_s = math.floor(now_s / HOUR_S) * HOUR_S
        hours = math.ceil((now_s + horizon_s - start_s) / HOUR_S)
        return Series(start_s, HOUR_S, np.full(hours, signal.at(now_s)))
    ahead = forecaster.forecast(past, max(0.0, now_s - past.end_s) + horizon_s + past.step_s)
    whole = Series(past.start_s, past.step_s, np.concatenate([hold(past.values), ahead.values]))
    return whole.between(now_s - past.step_s * (1 - 1e-9), now_s + horizon_s)


# --- ways ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Persistence:
    """It stays as it is: the last known value."""

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """See :class:`Forecaster`."""
        filled = hold(history.values)
        last = filled[-1] if len(filled) else math.nan
        return _ahead(history, np.full(_steps(history, horizon_s), last))


@dataclass(frozen=True)
class SameHour:
    """As it was ``lag_s`` ago, at the same hour; where that is a gap, one more lag ago; else persistence."""

    lag_s: float = DAY_S

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """See :class:`Forecaster`."""
        count = _steps(history, horizon_s)
        lag = max(1, round(self.lag_s / history.step_s))
        values = Persistence().forecast(history, horizon_s).values
        length = len(history)
        # From the oldest lag to the newest: the newest that is known stays.
        for back in range(math.ceil((length + count) / lag), 0, -1):
            index = length + np.arange(count) - back * lag
            there = (index >= 0) & (index < length)
            seen = np.where(
                there, history.values[np.where(there, index, 0)] if length else math.nan, math.nan
            )
            values = np.where(np.isfinite(seen), seen, values)
        return _ahead(history, values)


@dataclass(frozen=True)
class Blend:
    """Last week's hours, corrected by the latest error, which decays.

    ``decay_s``: after this long 1/e of the latest error is left. Half a day: weather and demand are
    forgotten over night; it was chosen before any recorded signal was looked at.
    """

    decay_s: float = DAY_S / 2

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """See :class:`Forecaster`."""
        if not len(history):
            return Persistence().forecast(history, horizon_s)
        seasonal = SameHour(WEEK_S if len(history) * history.step_s >= WEEK_S else DAY_S)
        base = seasonal.forecast(history, horizon_s).values
        before = Series(history.start_s, history.step_s, history.values[:-1])
        expected = seasonal.forecast(before, history.step_s).values[0]
        error = hold(history.values)[-1] - expected
        lead_s = history.step_s * np.arange(1, len(base) + 1)
        return _ahead(
            history, base + (error if math.isfinite(error) else 0.0) * np.exp(-lead_s / self.decay_s)
        )


def _steps(history: Series, horizon_s: float) -> int:
    return max(0, math.ceil(horizon_s / history.step_s - 1e-9))


def _ahead(history: Series, values: Array) -> Series:
    return Series(history.end_s, history.step_s, values)
