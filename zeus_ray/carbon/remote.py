"""A signal from far away that never fails and never keeps anybody waiting.

A :class:`Source` asks (a web API, or the cluster's actor); :class:`Remote` decides when, remembers on
disk, and answers from memory at once. Where the source is silent the answer is, in this order: what
was measured for that time, what was forecast for it, the last value for six hours, the mean of what
is known, and ``fallback``. ``note`` says why, in one line.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zeus_ray.carbon.series import Series
from zeus_ray.carbon.table import LAST_S, on_grid
from zeus_ray.errors import BadInput, SignalLost

log = logging.getLogger("zeus_ray")

WORLD_MEAN_G = 473.0
"""Mean intensity of the world's electricity in 2024, g/kWh (Ember, Global Electricity Review 2025)."""
EVERY_S = 900.0
"""Providers publish every 5 to 60 minutes; asking oftener says nothing new."""
DAY_S = 86400.0
KEEP_S = 35 * DAY_S
"""History that is kept: five weeks, what a forecast looks back to."""
HOLD_S = 6 * 3600.0
BACK_OFF_S = 60.0
MOST_BACK_OFF_S = 3600.0
MOST_RETRY_AFTER_S = DAY_S
NOTHING = Series(0.0, 3600.0, np.array([]))
UNSAFE = re.compile(r"[^\w.-]")


@dataclass(frozen=True)
class Known:
    """What is known of a signal: the past, its provider's forecast, and when both were asked for (s)."""

    past: Series = NOTHING
    ahead: Series = NOTHING
    asked_s: float = -math.inf
    fallback: float = WORLD_MEAN_G

    def at(self, time_s: float) -> float:
        """The value then, or the stated fallback."""
        for series in (self.past, self.ahead):
            value = series.at(time_s) if math.isfinite(time_s) else math.nan
            if math.isfinite(value):
                return value
        ends = self.past.start_s + self.past.step_s * np.arange(1, len(self.past) + 1)
        known = np.isfinite(self.past.values)
        recent = known & (ends <= time_s) & (ends >= time_s - HOLD_S)
        if recent.any():
            return float(self.past.values[recent][-1])
        return float(self.past.values[known].mean()) if known.any() else self.fallback

    def with_news(self, past: Series | None, ahead: Series | None, now_s: float) -> Known:
        """New rows correct old ones; what is older than five weeks, or not yet past, is forgotten."""
        rows = {t: v for series in (self.past, past) if series is not None for t, v in _rows(series)}
        recent = {t: v for t, v in rows.items() if now_s - KEEP_S <= t <= now_s + DAY_S}
        merged = (
            on_grid(list(recent), list(recent.values()))
            if any(map(math.isfinite, recent.values()))
            else NOTHING
        )
        return Known(merged, self.ahead if ahead is None else ahead, now_s, self.fallback)


class Source(Protocol):
    """Who is asked. Names the signal, and fetches."""

    @property
    def name(self) -> str:
        """Such as "uk"; with ``zone`` it names the cache."""

    @property
    def zone(self) -> str:
        """The part of the grid, in the provider's words."""

    @property
    def unit(self) -> str:
        """As in :class:`~zeus_ray.carbon.series.Signal`."""

    @property
    def kind(self) -> str:
        """Which intensity it is, "average" or "marginal"."""

    def fetch(self, since_s: float, now_s: float) -> tuple[Series | None, Series | None]:
        """The past in [since_s, now_s) and the forecast from now on; None where there is none.

        Raises:
            SignalLost: why there is no answer, without any secret, and when to ask again.
        """


class Remote:
    """A :class:`Signal` behind a source.

    Args:
        source: who is asked.
        cache: file that remembers what was fetched; None: memory only.
        fallback: the value (per kWh) where nothing at all is known.
        every_s: ask again after this long (s).
        clock: seconds since 1970.
        background: fetch in a thread when somebody reads and it is time; False: only in ``refresh``.
    """

    def __init__(
        self,
        source: Source,
        *,
        cache: Path | None = None,
        fallback: float = WORLD_MEAN_G,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.time,
        background: bool = True,
    ) -> None:
        self.source = source
        self.fallback = fallback
        self.note = f"{source.name}:{source.zone} has not been asked yet"
        self._options: dict[str, Any] = {
            "cache": cache,
            "fallback": fallback,
            "every_s": every_s,
            "clock": clock,
            "background": background,
        }
        self._cache, self._every_s, self._clock, self._background = cache, every_s, clock, background
        self._known = _load(cache, fallback) if cache else Known(fallback=fallback)
        self._due_s = -math.inf
        if 0 <= clock() - self._known.asked_s < every_s:
            self._due_s, self.note = self._known.asked_s + every_s, ""
        self._failures = 0
        self._one_at_a_time = threading.Lock()
        self._thread: threading.Thread | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its arguments: no thread, no data, and there is no secret to leave out."""
        return _made, (self.source, self._options)

    @property
    def unit(self) -> str:
        """As in :class:`Signal`."""
        return self.source.unit

    @property
    def known(self) -> Known:
        """All that is known now."""
        self._wake()
        return self._known

    def at(self, time_s: float) -> float:
        """The value then, or the stated fallback. At once."""
        return self.known.at(time_s)

    def history(self, from_s: float, to_s: float) -> Series:
        """What is known of the past. At once."""
        return self.known.past.between(from_s, to_s)

    def forecast(self, now_s: float, horizon_s: float) -> Series | None:
        """The source's forecast, from the interval that holds ``now_s``; None where it has none. At once."""
        ahead = self.known.ahead
        rest = ahead.between(now_s - ahead.step_s * (1 - 1e-6), now_s + horizon_s)
        return rest if np.isfinite(rest.values).any() else None

    def refresh(self, now_s: float | None = None) -> bool:
        """Ask now, unless it is too early; waits for the answer. Returns whether what is known is fresh."""
        with self._one_at_a_time:
            now_s = self._clock() if now_s is None else now_s
            if now_s < self._due_s:
                return not self.note
            try:
                self._ask(now_s)
            except SignalLost as error:
                self._lost(str(error), now_s, error.retry_after_s)
            except Exception:
                # A reply that nobody thought of must not stop a training run; the log has all of it.
                log.exception("zeus-ray: %s:%s", self.source.name, self.source.zone)
                self._lost("an answer that could not be understood", now_s, 0.0)
            return not self.note

    def _ask(self, now_s: float) -> None:
        past = self._known.past
        # A day again: providers correct what they have published.
        since_s = max(now_s - KEEP_S, past.end_s - DAY_S if len(past) else -math.inf)
        self._known = self._known.with_news(*self.source.fetch(since_s, now_s), now_s)
        if self.note and self._failures:
            log.warning("zeus-ray: %s:%s answers again", self.source.name, self.source.zone)
        self._due_s, self._failures, self.note = now_s + self._every_s, 0, ""
        if self._cache:
            _save(self._cache, self._known)

    def _lost(self, why: str, now_s: float, retry_after_s: float) -> None:
        own_s = min(BACK_OFF_S * 2**self._failures, MOST_BACK_OFF_S)
        self._due_s = now_s + min(max(own_s, retry_after_s), MOST_RETRY_AFTER_S)
        self._failures = min(self._failures + 1, 16)
        self.note = f"{self.source.name}:{self.source.zone}: {why}"
        if self._failures == 1:  # once per outage
            log.warning("zeus-ray: %s; going on with %.0f %s", self.note, self._known.at(now_s), self.unit)

    def _wake(self) -> None:
        """Start a fetch in the background if it is time and none is under way."""
        if not self._background or self._clock() < self._due_s or self._one_at_a_time.locked():
            return
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self.refresh, name="zeus-ray-signal", daemon=True)
            with contextlib.suppress(RuntimeError):  # no more threads, or Python is ending: ask another time
                self._thread.start()


def _made(source: Source, options: dict[str, Any]) -> Remote:
    return Remote(source, **options)


def _rows(series: Series) -> list[tuple[float, float]]:
    return [(series.start_s + i * series.step_s, float(value)) for i, value in enumerate(series.values)]


# --- the cache on disk ---------------------------------------------------------------------------


def cache_file(source: Source) -> Path:
    """Where a source's signal is remembered: ``$XDG_CACHE_HOME/zeus-ray/carbon/``."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "zeus-ray" / "carbon" / f"{source.name}-{UNSAFE.sub('_', source.zone)}.json"


def _save(path: Path, known: Known) -> None:
    """All or nothing. A disk that is full or read-only is no reason to stop."""
    raw = {"asked_s": known.asked_s, "past": _plain(known.past), "ahead": _plain(known.ahead)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            whole = Path(folder, path.name)
            whole.write_text(json.dumps(raw, allow_nan=False))
            whole.replace(path)
    except OSError as error:
        log.warning("zeus-ray: %s is not written: %s", path, error)


def _load(path: Path, fallback: float) -> Known:
    """What was saved; a file that is missing or damaged says nothing."""
    try:
        raw = json.loads(path.read_text())
        past, ahead, asked_s = _series(raw["past"]), _series(raw["ahead"]), float(raw["asked_s"])
        if not past.end_s <= asked_s + DAY_S:
            raise BadInput(f"what was measured ends at {past.end_s!r}, after it was asked for")
        return Known(past, ahead, asked_s, fallback)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return Known(fallback=fallback)


def _plain(series: Series) -> dict[str, Any]:
    values = [value if math.isfinite(value) else None for value in series.values.tolist()]
    return {"start_s": series.start_s, "step_s": series.step_s, "values": values}


def _series(raw: dict[str, Any]) -> Series:
    values = [math.nan if value is None else float(value) for value in raw["values"]]
    start_s, step_s = float(raw["start_s"]), float(raw["step_s"])
    if not (0 <= start_s < LAST_S and 1 <= step_s <= DAY_S):
        raise BadInput(f"start is {start_s!r}, step {step_s!r}")
    return Series(start_s, step_s, np.array(values, dtype=float))
