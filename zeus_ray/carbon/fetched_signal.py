"""A signal that is fetched over the network and answers at once from what was fetched before.

A :class:`SignalSource` fetches (a web API, or the cluster's actor); :class:`RemoteSignal` decides when, and
caches the values on disk.
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

from zeus_ray.carbon.cached_values_and_fallback import (
    KEEP_HISTORY_S,
    WORLD_MEAN_G_PER_KWH,
    CachedSignal,
    read_cache,
    write_cache,
)
from zeus_ray.carbon.series import Series
from zeus_ray.errors import SignalLost
from zeus_ray.quantity_format import DAY_S, HOUR_S

logger = logging.getLogger("zeus_ray")

FETCH_EVERY_S = 900.0
"""Providers publish every 5 to 60 minutes."""
FIRST_RETRY_S, LONGEST_RETRY_S = 60.0, HOUR_S
"""Time to the next attempt after the first failure; it doubles with each failure, up to the second number."""
LONGEST_RETRY_AFTER_S = DAY_S
"""The longest time that a server may ask to wait."""


class SignalSource(Protocol):
    """What a :class:`RemoteSignal` fetches from."""

    @property
    def name(self) -> str:
        """The provider's name, such as "uk"; with ``zone`` it names the cache."""

    @property
    def zone(self) -> str:
        """The part of the grid, as the provider names it."""

    @property
    def unit(self) -> str:
        """Unit of the values, as in :class:`~zeus_ray.carbon.series.Signal`."""

    @property
    def kind(self) -> str:
        """Which intensity it is: "average" or "marginal"."""

    def fetch(self, since_s: float, now_s: float) -> tuple[Series | None, Series | None]:
        """The history in [since_s, now_s) and the forecast from now on; None where there is none.

        Raises:
            SignalLost: why there is no answer, without any secret, and when to try again.
        """


class RemoteSignal:
    """A :class:`~zeus_ray.carbon.series.Signal` from a source on the network.

    ``note`` says why the values are not up to date, "" if they are.

    Args:
        source: what is fetched from.
        cache: file in which fetched values are stored; None: in memory only.
        fallback: the value (per kWh) if there is no data at all.
        every_s: how often to fetch (s).
        clock: seconds since 1970.
        background: fetch in a thread when the signal is read and a fetch is due; False: only in ``refresh``.
    """

    def __init__(
        self,
        source: SignalSource,
        *,
        cache: Path | None = None,
        fallback: float = WORLD_MEAN_G_PER_KWH,
        every_s: float = FETCH_EVERY_S,
        clock: Callable[[], float] = time.time,
        background: bool = True,
    ) -> None:
        self.source = source
        self.fallback = fallback
        self.note = f"{source.name}:{source.zone} has not been fetched yet"
        self._options: dict[str, Any] = {
            "cache": cache,
            "fallback": fallback,
            "every_s": every_s,
            "clock": clock,
            "background": background,
        }
        self._cache, self._every_s, self._clock, self._background = cache, every_s, clock, background
        self._cached = read_cache(cache, fallback) if cache else CachedSignal(fallback=fallback)
        self._due_s = -math.inf
        if 0 <= clock() - self._cached.fetched_s < every_s:
            self._due_s, self.note = self._cached.fetched_s + every_s, ""
        self._failures = 0
        self._fetching = threading.Lock()
        self._thread: threading.Thread | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its arguments: without thread and data. The source holds no secret."""
        return _remote_signal, (self.source, self._options)

    @property
    def unit(self) -> str:
        """As in :class:`~zeus_ray.carbon.series.Signal`."""
        return self.source.unit

    @property
    def cached(self) -> CachedSignal:
        """The values as they are now; a fetch is started in the background if it is due."""
        self._fetch_in_background()
        return self._cached

    def at(self, time_s: float) -> float:
        """The value at ``time_s``, else an estimate; see :meth:`CachedSignal.at`. Returns at once."""
        return self.cached.at(time_s)

    def history(self, from_s: float, to_s: float) -> Series:
        """The measured values. Returns at once."""
        return self.cached.history.between(from_s, to_s)

    def forecast(self, now_s: float, horizon_s: float) -> Series | None:
        """The source's forecast from the interval that contains ``now_s``; None if there is none."""
        future = self.cached.forecast.since(now_s, horizon_s)
        return future if np.isfinite(future.values).any() else None

    def refresh(self, now_s: float | None = None) -> bool:
        """Fetch now and wait, unless no fetch is due. Returns whether the values are up to date."""
        with self._fetching:
            now_s = self._clock() if now_s is None else now_s
            if now_s < self._due_s:
                return not self.note
            try:
                self._fetch(now_s)
            except SignalLost as error:
                self._failed(str(error), now_s, error.retry_after_s)
            except Exception:
                # An unexpected reply must not stop a training run; the log has the traceback.
                logger.exception("zeus-ray: %s:%s", self.source.name, self.source.zone)
                self._failed("the answer could not be understood", now_s, 0.0)
            return not self.note

    def _fetch(self, now_s: float) -> None:
        history = self._cached.history
        # The last day is fetched again: providers correct what they have published.
        since_s = max(now_s - KEEP_HISTORY_S, history.end_s - DAY_S if len(history) else -math.inf)
        self._cached = self._cached.updated(*self.source.fetch(since_s, now_s), now_s)
        if self.note and self._failures:
            logger.warning("zeus-ray: %s:%s answers again", self.source.name, self.source.zone)
        self._due_s, self._failures, self.note = now_s + self._every_s, 0, ""
        if self._cache:
            write_cache(self._cache, self._cached)

    def _failed(self, why: str, now_s: float, retry_after_s: float) -> None:
        """Set when to try again; warn once per outage."""
        backoff_s = min(FIRST_RETRY_S * 2**self._failures, LONGEST_RETRY_S)
        self._due_s = now_s + min(max(backoff_s, retry_after_s), LONGEST_RETRY_AFTER_S)
        self._failures = min(self._failures + 1, 16)
        self.note = f"{self.source.name}:{self.source.zone}: {why}"
        if self._failures == 1:
            logger.warning(
                "zeus-ray: %s; going on with %.0f %s", self.note, self._cached.at(now_s), self.unit
            )

    def _fetch_in_background(self) -> None:
        """Start a thread that fetches, if a fetch is due and none is under way."""
        if not self._background or self._clock() < self._due_s or self._fetching.locked():
            return
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self.refresh, name="zeus-ray-signal", daemon=True)
            with contextlib.suppress(
                RuntimeError
            ):  # no more threads, or Python is ending: the next read tries again
                self._thread.start()


def _remote_signal(source: SignalSource, options: dict[str, Any]) -> RemoteSignal:
    return RemoteSignal(source, **options)
