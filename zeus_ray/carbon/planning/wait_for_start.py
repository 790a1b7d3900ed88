"""Waits for the start that a signal makes best, and that still meets the deadline."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable

from zeus_ray.carbon.planning.start_advice import StartAdvice, advise_start, local_time
from zeus_ray.errors import BadInput, SignalLost
from zeus_ray.quantity_format import HOUR_S, less, seconds

ASK_AGAIN_S = 1800.0
"""Signals publish a new value, and a new forecast, every half hour at most."""
DUE_S = 30.0
"""A start that is nearer than this is now."""


def start_sentence(advice: StartAdvice) -> str:
    """What is waited for, and what is expected of it."""
    start_s, now_s = advice.best_start.timestamp(), advice.now.timestamp()
    mean = f"{advice.best_mean:.4g} {advice.unit} expected over {advice.hours:g} h"
    if start_s - now_s <= DUE_S:
        return f"now is the best start: {mean}"
    gained = ""
    if advice.mean_if_started_now > 0:
        gained = f", {less(1 - advice.best_mean / advice.mean_if_started_now)} than if it started now"
    return f"waiting {seconds(start_s - now_s)} until {local_time(start_s)}: {mean}{gained}"


def wait_for_start(
    signal: str,
    *,
    hours: float,
    deadline: dt.datetime | None,
    say: Callable[[str], None],
    now_s: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> StartAdvice:
    """Return when a job should start. The forecast is made anew every half hour, and what it changes is said.

    Args:
        signal: as for :func:`zeus_ray.open_signal`.
        hours: length of the job.
        deadline: when it must have ended; None: within two days, counted from the first call.
        say: takes a sentence for the user.
        now_s: seconds since 1970.
        sleep: waits so many seconds.

    Raises:
        BadInput: no such signal, impossible hours or deadline, or a file that ends before now.
        SignalLost: the provider does not answer, and no earlier answer is cached.
    """
    advice = advise_start(signal, hours=hours, deadline=deadline, now_s=now_s())
    if abs(advice.now.timestamp() - now_s()) > HOUR_S:
        end = local_time(advice.now.timestamp())
        raise BadInput(f"signal {signal} ends at {end}: what it will be later is not known")
    deadline = deadline or dt.datetime.fromtimestamp(now_s(), dt.timezone.utc) + dt.timedelta(
        hours=max(48.0, hours)
    )
    for note in advice.notes:
        say(note)
    say(start_sentence(advice))
    while (left_s := advice.best_start.timestamp() - now_s()) > DUE_S:
        sleep(min(left_s, ASK_AGAIN_S))
        before = advice
        advice = _again(signal, advice, deadline, now_s())
        if advice.best_start != before.best_start and advice.best_start.timestamp() - now_s() > DUE_S:
            say(start_sentence(advice))
    return advice


def _again(signal: str, before: StartAdvice, deadline: dt.datetime, now_s: float) -> StartAdvice:
    """The advice now; the one before where the signal does not answer, or the last start is due."""
    if deadline.timestamp() - now_s <= before.hours * HOUR_S + DUE_S:
        return before
    try:
        return advise_start(signal, hours=before.hours, deadline=deadline, now_s=now_s)
    except (SignalLost, BadInput):
        return before
