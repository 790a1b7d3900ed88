"""Forecast of a signal by Gaussian-process regression on its level, its daily pattern and the weather.

A grid's signal is taken as the sum of three independent processes: a level; a daily pattern, which changes
with the seasons; and weather, which comes and goes. The covariance of the values at two times that are d
apart, in units of the weather's variance (which need not be known), is

    k(d) = LEVEL + DAILY · exp(-2 |sin(π d / 1 day)| / SMOOTHNESS) · exp(-d / SEASON)
         + ½ exp(-d / WEATHER) + ½ (1 + √3 d / FRONT) exp(-√3 d / FRONT)

and the forecast is the posterior mean, which is the best linear forecast (Rasmussen and Williams 2006,
eqs. 2.25 and 4.14 to 4.18):

    forecast = k(future, past) k(past, past)⁻¹ past

A short history needs no special rule: one value gives persistence, one day a weak daily pattern, four weeks
their mean day and the latest errors, which decay. Gaps are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from zeus_ray.carbon.forecasts.baseline_forecasts import PersistenceForecast
from zeus_ray.carbon.forecasts.forecaster import ForecastUncertainty, series_after, step_count
from zeus_ray.carbon.series import Array, Series, fill_gaps
from zeus_ray.quantity_format import DAY_S, HOUR_S

# Chosen on the first halves of two grids (CISO and ERCO 2022): on four weeks of history and on the first
# days of files that begin there. The optimum is flat; benchmarks/CARBON.md has the variants.
WEATHER_DECAY_S = DAY_S
"""Correlation time of half of the weather."""
FRONT_S = 7 * HOUR_S
"""Length scale of the other half, which is smooth (Matérn 3/2): what falls goes on falling for a while."""
SEASON_DECAY_S = 120 * DAY_S
"""Correlation time of the daily pattern."""
DAILY_VARIANCE = 1.0
DAILY_SMOOTHNESS = 2.5
"""Neighbouring hours of the daily pattern correlate by 0.90, three hours apart by 0.74. The pattern may have
edges, as a tariff has; with sin² for |sin| as much is saved, but such a pattern is never learnt."""
LEVEL_VARIANCE = 100.0
"""So large that any level is about equally likely."""
SPREAD_DAYS = 28
"""How many days the spread of the error is computed from."""
WEATHER_REACH_S = 10 * DAY_S
"""Further ahead the weather's part is zero, and the last day of the forecast is repeated."""
MAX_POINTS = 672
"""Four weeks of hours; of a longer history every second value is used, or every third."""


@dataclass(frozen=True)
class GpForecast:
    """The posterior mean above. A :class:`~zeus_ray.carbon.forecasts.forecaster.Forecaster`."""

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """See :class:`Forecaster`."""
        known = np.flatnonzero(np.isfinite(history.values))
        if not len(known):
            return PersistenceForecast().forecast(history, horizon_s)
        used = known[:: -math.ceil(len(known) / MAX_POINTS)]
        past = history.values[used]
        weights = _weights((used - len(history)).tobytes(), history.step_s)
        count, reach, per_day = step_count(history, horizon_s), len(weights), _steps_per_day(history)
        values = past.mean() + weights[:count] @ (past - past.mean())
        beyond = reach - per_day + np.arange(max(0, count - reach)) % per_day
        return series_after(history, np.concatenate([values, values[beyond]]))

    def uncertainty(self, history: Series, horizon_s: float) -> ForecastUncertainty:
        """The error of :meth:`forecast`, estimated as the spread of the last days about their mean day."""
        days, count = _last_days(history), step_count(history, horizon_s)
        spread = days.std(axis=0)[np.arange(count) % days.shape[1]] if len(days) else np.zeros(count)
        return ForecastUncertainty(series_after(history, spread), WEATHER_DECAY_S)


def covariance(distance_s: Array) -> Array:
    """k(d) of the module's docstring, for distances in time (s, 0 or more)."""
    daily = np.exp(
        -2 * np.abs(np.sin(np.pi * distance_s / DAY_S)) / DAILY_SMOOTHNESS - distance_s / SEASON_DECAY_S
    )
    front = math.sqrt(3) * distance_s / FRONT_S
    weather = (np.exp(-distance_s / WEATHER_DECAY_S) + (1 + front) * np.exp(-front)) / 2
    return np.asarray(LEVEL_VARIANCE + DAILY_VARIANCE * daily + weather, dtype=np.float64)


@lru_cache(maxsize=4)
def _weights(steps: bytes, step_s: float) -> Array:
    """The weight of each past value in each forecast: one row per step ahead, for ``WEATHER_REACH_S``.

    Four weeks of hours take under 20 ms. They are cached, because successive forecasts usually have the same
    pattern of known values.

    Args:
        steps: which steps have a value, counted from the end of the history (int64, negative).
        step_s: length of a step.
    """
    past, future = np.frombuffer(steps, dtype=np.int64), np.arange(math.ceil(WEATHER_REACH_S / step_s))
    by_distance = covariance(np.asarray(step_s * np.arange(len(future) - int(past.min())), dtype=np.float64))
    past_past, past_future = by_distance[np.abs(past[:, None] - past)], by_distance[future - past[:, None]]
    return np.ascontiguousarray(np.linalg.solve(past_past, past_future).T, dtype=np.float64)


def _last_days(history: Series) -> Array:
    """The last whole days of the history, one per row, gaps filled; no rows if it has no whole day."""
    per_day = _steps_per_day(history)
    days = min(SPREAD_DAYS, len(history) // per_day)
    if not days or abs(per_day * history.step_s - DAY_S) > 1e-6:
        return np.empty((0, 1))
    values = fill_gaps(history.values[-days * per_day :])
    return np.empty((0, 1)) if np.isnan(values[-1]) else values.reshape(days, per_day)


def _steps_per_day(history: Series) -> int:
    return max(1, round(DAY_S / history.step_s))
