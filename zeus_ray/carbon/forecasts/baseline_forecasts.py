"""Simple forecasts of a signal, to compare with and to fall back on. Each is a :class:`Forecaster`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zeus_ray.carbon.forecasts.forecaster import series_after, step_count
from zeus_ray.carbon.series import Series, fill_gaps
from zeus_ray.quantity_format import DAY_S, WEEK_S


@dataclass(frozen=True)
class PersistenceForecast:
    """The last known value, at all times."""

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """See :class:`Forecaster`."""
        filled = fill_gaps(history.values)
        last = filled[-1] if len(filled) else math.nan
        return series_after(history, np.full(step_count(history, horizon_s), last))


@dataclass(frozen=True)
class SameHourForecast:
    """The value ``lag_s`` before; in a gap that of one more lag before, and in the end persistence."""

    lag_s: float = DAY_S

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """See :class:`Forecaster`."""
        count = step_count(history, horizon_s)
        lag = max(1, round(self.lag_s / history.step_s))
        values = PersistenceForecast().forecast(history, horizon_s).values
        length = len(history)
        # From the oldest lag to the newest, so that the newest known value remains.
        for lags in range(math.ceil((length + count) / lag), 0, -1):
            index = length + np.arange(count) - lags * lag
            inside = (index >= 0) & (index < length)
            earlier = np.where(
                inside, history.values[np.where(inside, index, 0)] if length else math.nan, math.nan
            )
            values = np.where(np.isfinite(earlier), earlier, values)
        return series_after(history, values)


@dataclass(frozen=True)
class BlendedForecast:
    """The same hour last week, corrected by the latest error, which decays exponentially.

    ``decay_s``: after this long 1/e of the latest error is left. Half a day, chosen without data.
    :class:`~zeus_ray.carbon.forecasts.gp_forecast.GpForecast` is more accurate.
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
        return series_after(
            history, base + (error if math.isfinite(error) else 0.0) * np.exp(-lead_s / self.decay_s)
        )


@dataclass(frozen=True)
class SvrForecast:
    """Chase's forecast (ICLR'23 workshop): support vector regression on (sin t, cos t, previous value).

    Kernel and constants are those of the reference code, which trains on one day of half-hours and
    predicts the next half-hour; further ahead its own prediction is the next previous value. For comparison
    only: it is no better than persistence. Needs scikit-learn (``pip install zeus-ray[demo]``).
    """

    train_s: float = DAY_S
    c: float = 100.0
    gamma: float = 1e-4

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """See :class:`Forecaster`."""
        from sklearn.svm import SVR  # noqa: PLC0415 — optional, and a second to import

        day = fill_gaps(history.values[-max(2, round(self.train_s / history.step_s)) :])
        if len(day) < 3 or np.isnan(day).any():
            return PersistenceForecast().forecast(history, horizon_s)
        times_s = history.end_s + history.step_s * np.arange(-len(day), step_count(history, horizon_s))
        angle = 2 * np.pi * times_s / DAY_S
        features = np.column_stack([np.sin(angle), np.cos(angle)])
        model = SVR(kernel="rbf", C=self.c, gamma=self.gamma)
        model.fit(np.column_stack([features[1 : len(day)], day[:-1]]), day[1:])
        values = [day[-1]]
        for time_of_day in features[len(day) :]:
            values.append(model.predict([[*time_of_day, values[-1]]])[0])
        return series_after(history, np.array(values[1:]))
