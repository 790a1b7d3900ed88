"""The fetched values of a remote signal, the value while a provider does not answer, and the file on disk."""

from __future__ import annotations

import logging
import math
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeus_ray.carbon.rows_to_series import resample
from zeus_ray.carbon.series import LATEST_S, Series
from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import DAY_S, HOUR_S
from zeus_ray.records import from_json, to_json

logger = logging.getLogger("zeus_ray")

WORLD_MEAN_G_PER_KWH = 473.0
"""Mean intensity of the world's electricity in 2024 (Ember, Global Electricity Review 2025)."""
KEEP_HISTORY_S = 35 * DAY_S
"""Five weeks: a week more than a forecast uses."""
LAST_VALUE_FOR_S = 6 * HOUR_S
"""For so long after the last value it is a better estimate than the mean."""
EMPTY = Series(0.0, HOUR_S, np.array([]))
UNSAFE_IN_FILE_NAMES = re.compile(r"[^\w.-]")


@dataclass(frozen=True)
class CachedSignal:
    """The measured values, the provider's forecast, and when both were fetched (s).

    ``fallback`` is the value (per kWh) if there is no data at all.
    """

    history: Series = EMPTY
    forecast: Series = EMPTY
    fetched_s: float = -math.inf
    fallback: float = WORLD_MEAN_G_PER_KWH

    def at(self, time_s: float) -> float:
        """The value at ``time_s``: never NaN.

        In this order: the measured value, the forecast, the last value for six hours, the mean of the
        history, the fallback.
        """
        for series in (self.history, self.forecast):
            value = series.at(time_s) if math.isfinite(time_s) else math.nan
            if math.isfinite(value):
                return value
        ends_s = self.history.start_s + self.history.step_s * np.arange(1, len(self.history) + 1)
        measured = np.isfinite(self.history.values)
        recent = measured & (ends_s <= time_s) & (ends_s >= time_s - LAST_VALUE_FOR_S)
        if recent.any():
            return float(self.history.values[recent][-1])
        return float(self.history.values[measured].mean()) if measured.any() else self.fallback

    def updated(self, history: Series | None, forecast: Series | None, now_s: float) -> CachedSignal:
        """With newly fetched values, which replace older ones of the same time; five weeks are kept."""
        parts = [series for series in (self.history, history) if series is not None]
        times_s = np.concatenate([s.start_s + s.step_s * np.arange(len(s)) for s in parts])
        values = np.concatenate([series.values for series in parts])
        kept = (now_s - KEEP_HISTORY_S <= times_s) & (times_s <= now_s + DAY_S)
        merged = resample(times_s[kept], values[kept]) if np.isfinite(values[kept]).any() else EMPTY
        return CachedSignal(merged, self.forecast if forecast is None else forecast, now_s, self.fallback)


# --- the file ------------------------------------------------------------------------------------

CACHE_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class StoredSeries:
    """A :class:`Series` as it is stored."""

    start_s: float
    step_s: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, series: Series) -> StoredSeries:
        """From a series."""
        return cls(start_s=series.start_s, step_s=series.step_s, values=tuple(series.values.tolist()))

    def series(self) -> Series:
        """Inverse of :meth:`of`. Raises BadInput for impossible times."""
        if not (0 <= self.start_s < LATEST_S and 1 <= self.step_s <= DAY_S):
            raise BadInput(f"start is {self.start_s!r}, step {self.step_s!r}")
        return Series(self.start_s, self.step_s, np.array(self.values, dtype=float))


@dataclass(frozen=True, kw_only=True)
class StoredSignal:
    """A :class:`CachedSignal` as it is stored."""

    version: int
    fetched_s: float
    history: StoredSeries
    forecast: StoredSeries


def cache_file(name: str, zone: str) -> Path:
    """The cache of a provider's zone: a file in ``$XDG_CACHE_HOME/zeus-ray/carbon/``."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "zeus-ray" / "carbon" / f"{name}-{UNSAFE_IN_FILE_NAMES.sub('_', zone)}.json"


def write_cache(path: Path, cached: CachedSignal) -> None:
    """Replace the file as a whole. If the disk does not allow it, a warning is logged."""
    stored = StoredSignal(
        version=CACHE_VERSION,
        fetched_s=cached.fetched_s,
        history=StoredSeries.of(cached.history),
        forecast=StoredSeries.of(cached.forecast),
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            new = Path(folder, path.name)
            new.write_text(to_json(stored))
            new.replace(path)
    except OSError as error:
        logger.warning("zeus-ray: %s is not written: %s", path, error)


def read_cache(path: Path, fallback: float) -> CachedSignal:
    """The stored values; none if the file is missing, damaged or of another version."""
    try:
        stored = from_json(StoredSignal, path.read_bytes())
        history, forecast = stored.history.series(), stored.forecast.series()
    except (OSError, BadInput):
        return CachedSignal(fallback=fallback)
    if stored.version != CACHE_VERSION or not history.end_s <= stored.fetched_s + DAY_S:
        return CachedSignal(fallback=fallback)
    return CachedSignal(history, forecast, stored.fetched_s, fallback)
