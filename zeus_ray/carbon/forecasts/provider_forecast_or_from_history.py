"""The expected values of a signal: its provider's forecast where there is one, else one from history."""

from __future__ import annotations

import math

import numpy as np

from zeus_ray.carbon.forecasts.forecaster import HISTORY_S, Forecaster, ForecastUncertainty
from zeus_ray.carbon.forecasts.gp_forecast import GpForecast
from zeus_ray.carbon.series import Series, Signal, fill_gaps
from zeus_ray.quantity_format import HOUR_S


def forecast_signal(
    signal: Signal, now_s: float, horizon_s: float, forecaster: Forecaster | None = None
) -> Series:
    """The expected values of ``signal`` from the interval that contains ``now_s`` on.

    They cover ``now_s`` and all ``horizon_s`` after it. They are the provider's forecast as far as it
    reaches, its gaps left out; else ``forecaster`` (None: :class:`GpForecast`) on the last four weeks;
    else the value now. NaN only if the signal has never had a value.
    """
    own = _from_history(signal, now_s, horizon_s, forecaster or GpForecast())
    provided = signal.forecast(now_s, horizon_s)
    if provided is None or not len(provided):
        return own
    # On the provider's time axis; values from history fill what it left out.
    first = math.floor((now_s - provided.start_s) / provided.step_s)
    count = math.ceil((now_s + horizon_s - provided.start_s) / provided.step_s - 1e-9) - first
    start_s = provided.start_s + first * provided.step_s
    values = [_first_known(provided, own, start_s + (i + 0.5) * provided.step_s) for i in range(count)]
    return Series(start_s, provided.step_s, np.array(values))


def forecast_uncertainty(signal: Signal, now_s: float, horizon_s: float) -> ForecastUncertainty | None:
    """The uncertainty of :func:`forecast_signal`; None where the provider forecasts or nothing is known.

    A provider's forecast is taken as certain: its error is not known.
    """
    if signal.forecast(now_s, horizon_s) is not None:
        return None
    history = signal.history(now_s - HISTORY_S, now_s)
    return GpForecast().uncertainty(history, horizon_s) if len(history) else None


def _first_known(provided: Series, own: Series, time_s: float) -> float:
    value = provided.at(time_s)
    return value if math.isfinite(value) else own.at(min(max(time_s, own.start_s), own.end_s - 1e-3))


def _from_history(signal: Signal, now_s: float, horizon_s: float, forecaster: Forecaster) -> Series:
    """History and its forecast, from the interval that contains ``now_s`` on."""
    history = signal.history(now_s - HISTORY_S, now_s)
    if not np.isfinite(history.values).any():
        start_s = math.floor(now_s / HOUR_S) * HOUR_S
        hours = math.ceil((now_s + horizon_s - start_s) / HOUR_S)
        return Series(start_s, HOUR_S, np.full(hours, signal.at(now_s)))
    future = forecaster.forecast(history, max(0.0, now_s - history.end_s) + horizon_s + history.step_s)
    values = np.concatenate([fill_gaps(history.values), future.values])
    return Series(history.start_s, history.step_s, values).since(now_s, horizon_s)
