"""What is usual at each time of day, and how today differs: the forecast the planner of trials wants.

To pick the cheapest hours one must know when *cheap* is, not tomorrow's value. So the past is taken as a
sum of three things that a grid has: a level; a day that is much the same every day and changes with the
seasons; and weather, which comes and goes. How alike two moments are is then a function of the time
between them (variances in units of the weather's, which need not be known):

    alike(d) = LEVEL + DAILY · exp(-2 |sin(π d / 1 day)| / SMOOTH) · exp(-d / SEASON)
             + ½ exp(-d / WEATHER) + ½ (1 + √3 d / FRONT) exp(-√3 d / FRONT)

and the best linear forecast is the one of least expected squared error under it, known as kriging, or as
the mean of a Gaussian process (Rasmussen and Williams 2006, eqs. 2.25 and 4.14 to 4.18):

    ahead = alike(ahead, past) alike(past, past)⁻¹ past

It needs no rule for a short past: one value is persistence, a day is a day half believed, four weeks are
their mean day corrected by the latest errors, which fade. Gaps are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from zeus_ray.carbon.forecasts.baseline_forecasts import DAY_S, HOUR_S, PersistenceForecast
from zeus_ray.carbon.planning.width_planner import ForecastUncertainty
from zeus_ray.carbon.series import Array, Series
from zeus_ray.carbon.signal import hold

# Chosen on the first halves of two grids (CISO and ERCO 2022): on four weeks of history and on the first
# days of files that begin there. The optimum is flat; benchmarks/CARBON.md has the variants.
WEATHER_S = DAY_S
"""After this long 1/e of a spell of weather is left."""
FRONT_S = 7 * HOUR_S
"""The other half of the weather is smooth over so long: what has been falling falls on for a while."""
SEASON_S = 120 * DAY_S
"""After this long 1/e of what a usual day was like is left."""
DAILY = 1.0
"""Variance of the day's shape."""
SMOOTH = 2.5
"""How smooth: neighbouring hours are alike by 0.90, three hours apart by 0.74. It may have edges, as a
tariff has; without (sin² for |sin|) as much is saved, but a day of edges is never learnt."""
LEVEL = 100.0
"""Variance of the level: any is as likely as any other."""
DAYS = 28
"""So many days tell how far days differ."""
REACH_S = 10 * DAY_S
"""Further ahead the weather is forgotten, and the last day is said again."""
POINTS = 672
"""Four weeks of hours; of a longer past every second value is taken, or every third."""


@dataclass(frozen=True)
class GpForecast:
    """The level, the usual day and the weather, each as far as the past tells it; see above.

    Satisfies :class:`zeus_ray.carbon.forecasts.baseline_forecasts.Forecaster`.
    """

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """From ``history.end_s`` on."""
        known = np.flatnonzero(np.isfinite(history.values))
        if not len(known):
            return PersistenceForecast().forecast(history, horizon_s)
        kept = known[:: -math.ceil(len(known) / POINTS)]
        past = history.values[kept]
        weights = _weights((kept - len(history)).tobytes(), history.step_s)
        lead, reach, per_day = len(_leads(history, horizon_s)), len(weights), _per_day(history)
        ahead = past.mean() + weights[:lead] @ (past - past.mean())
        beyond = reach - per_day + np.arange(max(0, lead - reach)) % per_day
        return Series(history.end_s, history.step_s, np.concatenate([ahead, ahead[beyond]]))

    def doubt(self, history: Series, horizon_s: float) -> ForecastUncertainty:
        """How far days have been from their mean: what :meth:`forecast` may be off by, on its axis."""
        days, lead = _last_days(history), _leads(history, horizon_s)
        spread = days.std(axis=0)[(lead - 1) % days.shape[1]] if len(days) else np.zeros(len(lead))
        return ForecastUncertainty(Series(history.end_s, history.step_s, spread), WEATHER_S)


def alike(apart_s: Array) -> Array:
    """Covariance of the values at two times so far apart (s, 0 or more), the weather's being 1."""
    daily = np.exp(-2 * np.abs(np.sin(np.pi * apart_s / DAY_S)) / SMOOTH - apart_s / SEASON_S)
    front = math.sqrt(3) * apart_s / FRONT_S
    weather = (np.exp(-apart_s / WEATHER_S) + (1 + front) * np.exp(-front)) / 2
    return np.asarray(LEVEL + DAILY * daily + weather, dtype=np.float64)


@lru_cache(maxsize=4)
def _weights(steps: bytes, step_s: float) -> Array:
    """What each value counts in each forecast: one row per step ahead, ``REACH_S`` of them.

    ``steps``: where the values are, counted from the end of the past (int64, negative). A full past takes
    under 20 ms; kept, because from one look to the next the same steps are known.
    """
    past, ahead = np.frombuffer(steps, dtype=np.int64), np.arange(math.ceil(REACH_S / step_s))
    by_lag = alike(np.asarray(step_s * np.arange(len(ahead) - int(past.min())), dtype=np.float64))
    among, towards = by_lag[np.abs(past[:, None] - past)], by_lag[ahead - past[:, None]]
    return np.ascontiguousarray(np.linalg.solve(among, towards).T, dtype=np.float64)


def _last_days(history: Series) -> Array:
    """The last whole days before the history's end, one a row, gaps held; none where there is none."""
    per_day = _per_day(history)
    days = min(DAYS, len(history) // per_day)
    if not days or abs(per_day * history.step_s - DAY_S) > 1e-6:
        return np.empty((0, 1))
    values = hold(history.values[-days * per_day :])
    return np.empty((0, 1)) if np.isnan(values[-1]) else values.reshape(days, per_day)


def _per_day(history: Series) -> int:
    return max(1, round(DAY_S / history.step_s))


def _leads(history: Series, horizon_s: float) -> npt.NDArray[np.int64]:
    return np.arange(1, max(0, math.ceil(horizon_s / history.step_s - 1e-9)) + 1)
