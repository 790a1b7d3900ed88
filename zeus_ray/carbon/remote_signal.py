"""A signal fetched from the network, which answers at once from what was fetched before.

A :class:`SignalSource` fetches (a web API, or the cluster's actor); :class:`RemoteSignal` decides when to
fetch and caches on disk. The value at a time is, in this order: what was measured for it, what was forecast
for it, the last value for six hours, the mean of what is known, ``fallback``. ``note`` gives the reason.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zeus_ray.carbon.cache import DAY_S, KEEP_S, WORLD_MEAN_G, CachedSignal, load, save
from zeus_ray.carbon.series import Series
from zeus_ray.errors import SignalLost

log = logging.getLogger("zeus_ray")

EVERY_S = 900.0
"""Providers publish every 5 to 60 minutes; asking oftener says nothing new."""
BACK_OFF_S = 60.0
MOST_BACK_OFF_S = 3600.0
MOST_RETRY_AFTER_S = DAY_S


class SignalSource(Protocol):
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


class RemoteSignal:
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
        source: SignalSource,
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
        self._known = load(cache, fallback) if cache else CachedSignal(fallback=fallback)
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
    def known(self) -> CachedSignal:
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
            save(self._cache, self._known)

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


def _made(source: SignalSource, options: dict[str, Any]) -> RemoteSignal:
    return RemoteSignal(source, **options)
