"""``zeus-ray carbon``, as data: a signal now, its forecast, and when a job of given length should start."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

import numpy as np

from zeus_ray.carbon.constant_and_recorded_signal import RecordedSignal
from zeus_ray.carbon.fetched_signal import RemoteSignal
from zeus_ray.carbon.forecasts.provider_forecast_or_from_history import forecast_signal
from zeus_ray.carbon.open_signal import open_signal
from zeus_ray.carbon.planning.start_time import best_start, job_at, mean_with_pauses
from zeus_ray.carbon.series import Series, Signal
from zeus_ray.errors import BadInput, SignalLost
from zeus_ray.quantity_format import HOUR_S

SHORTEST_FORECAST_H = 48
LONGEST_FORECAST_H = 7 * 24
"""No forecast of the grid is useful further ahead than a week."""


@dataclass(frozen=True, kw_only=True)
class StartAdvice:
    """When a job should start. Times are UTC, values are per kWh, in ``unit``; unknown is NaN.

    Attributes:
        signal: the text that names the signal, and whether it is average or marginal intensity.
        unit: of all values, such as ``gCO2eq/kWh``.
        now: the time for which the advice holds.
        value_now: the signal then.
        forecast_start: start of the first hour of the forecast.
        forecast: the mean of each hour.
        best_start: when the job should start, to run without a pause.
        hours: length of the job.
        best_mean: mean value over the job, if it starts then.
        mean_if_started_now: mean value over the job, if it starts now.
        mean_with_pauses: mean value over the job, if it runs in the cheapest intervals, with pauses.
        notes: what limits the advice.
    """

    signal: str
    unit: str
    now: dt.datetime
    value_now: float
    forecast_start: dt.datetime
    forecast: tuple[float, ...]
    best_start: dt.datetime
    hours: float
    best_mean: float
    mean_if_started_now: float
    mean_with_pauses: float
    notes: tuple[str, ...]


def advise_start(signal: str, *, hours: float, deadline: dt.datetime | None, now_s: float) -> StartAdvice:
    """When a job should start.

    Args:
        signal: as for :func:`zeus_ray.open_signal`.
        hours: length of the job.
        deadline: when it must have ended; None: within two days, or ``hours`` if that is longer.
        now_s: seconds since 1970. A file that ends before is read as if now were its end.

    Raises:
        BadInput: no such signal, a token that is missing, impossible hours or deadline.
        SignalLost: the provider does not answer, and no earlier answer is cached.
    """
    opened = open_signal(signal)
    notes = []
    if isinstance(opened, RemoteSignal) and not opened.refresh():
        if not len(opened.cached.history):
            raise SignalLost(opened.note)
        notes.append(f"{opened.note}; values are from the cache")
    if isinstance(opened, RecordedSignal) and not opened.series.start_s <= now_s < opened.series.end_s:
        now_s = opened.series.end_s
        notes.append(f"the file ends before today: the advice is for its end, {local_time(now_s)}")
    until_s = _job_end_s(hours, deadline, now_s)
    ahead = forecast_signal(opened, now_s, max(SHORTEST_FORECAST_H * HOUR_S, until_s - now_s))
    best = best_start(ahead, hours * HOUR_S, from_s=now_s, until_s=until_s)
    hourly = hourly_means(ahead, now_s)
    return StartAdvice(
        signal=_described(signal, opened),
        unit=opened.unit,
        now=_utc(now_s),
        value_now=opened.at(now_s),
        forecast_start=_utc(hourly.start_s),
        forecast=tuple(hourly.values.tolist()),
        best_start=_utc(best.start_s),
        hours=hours,
        best_mean=best.mean,
        mean_if_started_now=job_at(ahead, now_s, hours * HOUR_S).mean,
        mean_with_pauses=mean_with_pauses(ahead, hours * HOUR_S, from_s=now_s, until_s=until_s),
        notes=tuple(notes),
    )


def hourly_means(series: Series, from_s: float) -> Series:
    """The means of whole hours, from the hour that contains ``from_s`` to the end of ``series``."""
    first_s = max(math.floor(from_s / HOUR_S) * HOUR_S, math.ceil(series.start_s / HOUR_S) * HOUR_S)
    starts_s = first_s + HOUR_S * np.arange(int((series.end_s - first_s) // HOUR_S))
    means = [series.integral(start_s, start_s + HOUR_S) / HOUR_S for start_s in starts_s]
    return Series(first_s, HOUR_S, np.array(means))


def local_time(time_s: float) -> str:
    """A time as people write it, such as "Wed 01 Jun 2022 18:00", in the timezone of this machine."""
    return f"{dt.datetime.fromtimestamp(time_s).astimezone():%a %d %b %Y %H:%M}"


def _job_end_s(hours: float, deadline: dt.datetime | None, now_s: float) -> float:
    """When the job must have ended; a deadline further ahead than a forecast reaches is brought forward."""
    if not (math.isfinite(hours) and 0 < hours <= LONGEST_FORECAST_H):
        raise BadInput(f"hours is {hours:g}; allowed: above 0, up to {LONGEST_FORECAST_H}")
    if deadline is None:
        return now_s + max(SHORTEST_FORECAST_H, hours) * HOUR_S
    left_h = (deadline.timestamp() - now_s) / HOUR_S
    if left_h <= 0:
        raise BadInput(f"the deadline {deadline:%Y-%m-%d %H:%M} is in the past: now is {local_time(now_s)}")
    if left_h < hours:
        raise BadInput(
            f"a job of {hours:g} h does not fit in the {left_h:.3g} h before {deadline:%Y-%m-%d %H:%M}"
        )
    return now_s + min(left_h, LONGEST_FORECAST_H) * HOUR_S


def _described(text: str, signal: Signal) -> str:
    return f"{text} ({signal.source.kind})" if isinstance(signal, RemoteSignal) else text


def _utc(time_s: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(time_s, dt.timezone.utc)
