"""The next hours of intensity or price, from its past: one class per way, each with ``forecast``.

All begin where the history ends, with its step. A gap in the history is no news: it is passed over.
Where nothing is known there is nothing to say: NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zeus_ray.carbon.series import Array, Series
from zeus_ray.carbon.signal import hold

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
WEEK_S = 7 * DAY_S
LOOK_BACK_S = 4 * WEEK_S
"""How much history a forecast is given: what is usual changes with the seasons."""


class Forecaster(Protocol):
    """A way to look ahead from history alone."""

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """From ``history.end_s`` on, same step, at least ``horizon_s`` (s); no NaN if anything is known."""


@dataclass(frozen=True)
class PersistenceForecast:
    """It stays as it is: the last known value."""

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """See :class:`Forecaster`."""
        filled = hold(history.values)
        last = filled[-1] if len(filled) else math.nan
        return _ahead(history, np.full(_steps(history, horizon_s), last))


@dataclass(frozen=True)
class SameHourForecast:
    """As it was ``lag_s`` ago, at the same hour; where that is a gap, one more lag ago; else persistence."""

    lag_s: float = DAY_S

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """See :class:`Forecaster`."""
        count = _steps(history, horizon_s)
        lag = max(1, round(self.lag_s / history.step_s))
        values = PersistenceForecast().forecast(history, horizon_s).values
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
class BlendedForecast:
    """Last week's hours, corrected by the latest error, which decays: the sketch that this began with.

    ``decay_s``: after this long 1/e of the latest error is left. Half a day, chosen before any
    recorded signal was looked at. :class:`~zeus_ray.carbon.forecasts.gp_forecast.Usual` is better.
    """

    decay_s: float = DAY_S / 2

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """See :class:`Forecaster`."""
        known = np.flatnonzero(np.isfinite(history.values))
        if not len(known):
            return PersistenceForecast().forecast(history, horizon_s)
        seasonal = SameHourForecast(WEEK_S if len(history) * history.step_s >= WEEK_S else DAY_S)
        base = seasonal.forecast(history, horizon_s).values
        last = known[-1]
        before = Series(history.start_s, history.step_s, history.values[:last])
        error = history.values[last] - seasonal.forecast(before, history.step_s).values[0]
        lead_s = history.step_s * (np.arange(1, len(base) + 1) + len(history) - 1 - last)
        return _ahead(
            history, base + (error if math.isfinite(error) else 0.0) * np.exp(-lead_s / self.decay_s)
        )


@dataclass(frozen=True)
class SvrForecast:
    """Chase's forecast (ICLR'23 workshop): support vector regression on (sin t, cos t, previous value).

    Kernel and constants are those of the reference code, which trains on one day of half-hours and
    asks for the next half-hour; further ahead its own answer is the next previous value. For
    comparison: it is no better than persistence. Needs scikit-learn (``pip install zeus-ray[demo]``).
    """

    train_s: float = DAY_S
    c: float = 100.0
    gamma: float = 1e-4

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """See :class:`Forecaster`."""
        from sklearn.svm import SVR  # noqa: PLC0415 — an extra, and it takes a second

        day = hold(history.values[-max(2, round(self.train_s / history.step_s)) :])
        if len(day) < 3 or np.isnan(day).any():
            return PersistenceForecast().forecast(history, horizon_s)
        when_s = history.end_s + history.step_s * np.arange(-len(day), _steps(history, horizon_s))
        angle = 2 * np.pi * when_s / DAY_S
        features = np.column_stack([np.sin(angle), np.cos(angle)])
        model = SVR(kernel="rbf", C=self.c, gamma=self.gamma)
        model.fit(np.column_stack([features[1 : len(day)], day[:-1]]), day[1:])
        values = [day[-1]]
        for now in features[len(day) :]:
            values.append(model.predict([[*now, values[-1]]])[0])
        return _ahead(history, np.array(values[1:]))


def _steps(history: Series, horizon_s: float) -> int:
    return max(0, math.ceil(horizon_s / history.step_s - 1e-9))


def _ahead(history: Series, values: Array) -> Series:
    return Series(history.end_s, history.step_s, values)
