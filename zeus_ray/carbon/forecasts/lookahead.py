"""What to expect of a signal: its provider's own forecast where there is one, then ours."""

from __future__ import annotations

import math

import numpy as np

from zeus_ray.carbon.forecasts.baseline_forecasts import HOUR_S, LOOK_BACK_S, Forecaster
from zeus_ray.carbon.forecasts.gp_forecast import GpForecast
from zeus_ray.carbon.series import Series, Signal
from zeus_ray.carbon.signal import hold


def look_ahead(
    signal: Signal, now_s: float, horizon_s: float, forecaster: Forecaster | None = None
) -> Series:
    """What to expect of ``signal`` from about ``now_s`` on: its provider's forecast, then ours.

    The provider's own forecast as far as it reaches and without its gaps, else ``forecaster`` (None:
    :class:`GpForecast`) on the last four weeks, else the value now at every time. Covers ``now_s`` and all
    ``horizon_s`` after it; no value is NaN unless nothing was ever known of the signal.
    """
    ours = _from_history(signal, now_s, horizon_s, forecaster or GpForecast())
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
    return whole.between(now_s - past.step_s * (1 - 1e-6), now_s + horizon_s)
