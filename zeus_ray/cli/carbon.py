"""``zeus-ray carbon``: intensity or price now, what is expected, and when a job of some hours should run."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import logging
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from zeus_ray.carbon.forecasts.signal_forecast import forecast_signal
from zeus_ray.carbon.planning.start_time import JobTime, best_start, job_at, mean_with_pauses
from zeus_ray.carbon.remote_signal import RemoteSignal
from zeus_ray.carbon.series import Series, Signal
from zeus_ray.carbon.signal import RecordedSignal, open_signal
from zeus_ray.errors import BadInput, SignalLost
from zeus_ray.reporting.bars import bars
from zeus_ray.units import HOUR_S

log = logging.getLogger("zeus_ray")

SHOWN_S = 48 * HOUR_S
MOST_S = 7 * 24 * HOUR_S
"""Nobody knows the grid further ahead than a week."""


@dataclass(frozen=True)
class Advice:
    """All that is shown. Values are per ``unit``; ``notes`` say what to be careful about."""

    signal: str
    unit: str
    now_s: float
    value: float
    ahead: Series
    job: JobTime
    if_now: JobTime
    paused_mean: float
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For programs: times in ISO 8601, unknown as null."""
        return {
            "signal": self.signal,
            "unit": self.unit,
            "now": {"time": _iso(self.now_s), "value": _plain(self.value)},
            "forecast": {
                "start": _iso(self.ahead.start_s),
                "step_s": self.ahead.step_s,
                "values": [_plain(value) for value in self.ahead.values.tolist()],
            },
            "best_window": {
                "start": _iso(self.job.start_s),
                "end": _iso(self.job.start_s + self.job.length_s),
                "mean": _plain(self.job.mean),
                "mean_if_started_now": _plain(self.if_now.mean),
                "mean_with_pauses": _plain(self.paused_mean),
            },
            "notes": list(self.notes),
        }


def carbon(options: argparse.Namespace) -> int:
    """Advise on the grid that the options name."""
    log.addHandler(logging.NullHandler())  # what a signal warns of is in the notes, or is the error
    found = advise(options, time.time())
    if options.json:
        print(json.dumps(found.to_dict(), indent=1))  # noqa: T201 — for a pipe
    else:
        _show(Console(), found)
    return 0


def advise(options: argparse.Namespace, now_s: float) -> Advice:
    """What to expect of the grid, and when to run.

    Raises:
        BadInput: no such signal, a token that is missing, hours or a deadline that cannot be.
        SignalLost: the provider does not answer, and nothing is remembered of it.
    """
    text = options.signal
    signal = open_signal(text)
    notes = []
    if isinstance(signal, RemoteSignal) and not signal.refresh():
        if not len(signal.cached.history):
            raise SignalLost(signal.note)
        notes.append(f"{signal.note}; shown from memory")
    if isinstance(signal, RecordedSignal) and not signal.series.start_s <= now_s < signal.series.end_s:
        now_s = signal.series.end_s
        notes.append(f"the file does not reach to this day: shown as if now were its end, {_clock(now_s)}")
    length_s, until_s = _job(options, now_s)
    ahead = forecast_signal(signal, now_s, max(SHOWN_S, until_s - now_s))
    return Advice(
        signal=_described(text, signal),
        unit=signal.unit,
        now_s=now_s,
        value=signal.at(now_s),
        ahead=ahead,
        job=best_start(ahead, length_s, from_s=now_s, until_s=until_s),
        if_now=job_at(ahead, now_s, length_s),
        paused_mean=mean_with_pauses(ahead, length_s, from_s=now_s, until_s=until_s),
        notes=tuple(notes),
    )


def _job(options: argparse.Namespace, now_s: float) -> tuple[float, float]:
    """Length of the job (s), and when it must be done."""
    hours = options.hours
    if not (math.isfinite(hours) and 0 < hours * HOUR_S <= MOST_S):
        raise BadInput(f"--hours is {hours:g}; allowed: above 0, up to {MOST_S / HOUR_S:g}")
    length_s = hours * HOUR_S
    if options.deadline is None:
        return length_s, now_s + max(SHOWN_S, length_s)
    try:
        until = dt.datetime.fromisoformat(options.deadline).astimezone()
    except (ValueError, OverflowError) as error:
        raise BadInput(
            f"--deadline is {options.deadline!r}; write a date and time such as 2026-12-01T08:00"
        ) from error
    left_s = until.timestamp() - now_s
    if left_s <= 0:
        raise BadInput(f"--deadline {options.deadline} is in the past: now is {_clock(now_s)}")
    if left_s < length_s:
        raise BadInput(
            f"a job of {hours:g} h cannot be done in the {left_s / HOUR_S:.3g} h to {options.deadline}"
        )
    return length_s, now_s + min(left_s, max(MOST_S, length_s))


# --- showing -------------------------------------------------------------------------------------


def _show(console: Console, found: Advice) -> None:
    hours = _hourly(found.ahead, found.now_s)
    first_s, last_s = found.job.start_s, found.job.start_s + found.job.length_s
    marked = {i for i in range(len(hours)) if first_s <= hours.start_s + i * HOUR_S < last_s}
    console.print(f"[bold]{found.signal}[/bold]: {found.value:.4g} {found.unit} now", highlight=False)
    console.print(bars(hours.values.tolist(), marked=marked), end="", no_wrap=True, overflow="crop")
    console.print(_axis(hours), style="dim", no_wrap=True, overflow="crop", highlight=False)
    saving = _saving(found.job.mean, found.if_now.mean)
    console.print(
        f"{found.job.length_s / HOUR_S:g} h from [green]{_clock(first_s)}[/green]: {found.job.mean:.4g} "
        f"{found.unit} on average, {saving} than {found.if_now.mean:.4g} if started now",
        highlight=False,
    )
    console.print(
        f"In pieces, with pauses: {found.paused_mean:.4g}, {_saving(found.paused_mean, found.if_now.mean)}"
        " (EnergyScheduler can do that)",
        highlight=False,
    )
    for note in found.notes:
        console.print(f"Note: {note}", style="yellow", highlight=False)


def _hourly(series: Series, now_s: float) -> Series:
    """Means of whole hours from the one that holds now, for two days."""
    first_s = max(math.floor(now_s / HOUR_S) * HOUR_S, math.ceil(series.start_s / HOUR_S) * HOUR_S)
    count = int(min(SHOWN_S, series.end_s - first_s) // HOUR_S)
    starts = first_s + HOUR_S * np.arange(count)
    return Series(first_s, HOUR_S, np.array([series.integral(t, t + HOUR_S) / HOUR_S for t in starts]))


def _axis(hours: Series) -> str:
    """Local time under every sixth hour."""
    line = [" "] * (9 + len(hours) + 5)
    for i in range(len(hours)):
        local = dt.datetime.fromtimestamp(hours.start_s + i * HOUR_S).astimezone()
        if local.hour % 6 == 0:
            line[9 + i : 14 + i] = f"{local:%H:%M}"
    return "".join(line).rstrip()


def _saving(value: float, than: float) -> str:
    if not than > 0:
        return f"{abs(than - value):.3g} {'less' if value <= than else 'more'}"
    return f"{abs(1 - value / than):.0%} {'less' if value <= than else 'more'}"


def _described(text: str, signal: Signal) -> str:
    kind = f" ({signal.source.kind})" if isinstance(signal, RemoteSignal) else ""
    return text + kind


def _clock(time_s: float) -> str:
    return f"{dt.datetime.fromtimestamp(time_s).astimezone():%a %d %b %Y %H:%M}"


def _iso(time_s: float) -> str:
    return dt.datetime.fromtimestamp(time_s, dt.timezone.utc).isoformat()


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
