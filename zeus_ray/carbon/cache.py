"""What is known of a signal from far away, the fallback where it is silent, and its file on disk."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zeus_ray.carbon.csv_reader import LAST_S, on_grid
from zeus_ray.carbon.series import Series
from zeus_ray.errors import BadInput

log = logging.getLogger("zeus_ray")

WORLD_MEAN_G = 473.0
"""Mean intensity of the world's electricity in 2024, g/kWh (Ember, Global Electricity Review 2025)."""
DAY_S = 86400.0
KEEP_S = 35 * DAY_S
"""History that is kept: five weeks, what a forecast looks back to."""
HOLD_S = 6 * 3600.0
"""For so long the last value is better than a mean."""
NOTHING = Series(0.0, 3600.0, np.array([]))
UNSAFE = re.compile(r"[^\w.-]")


@dataclass(frozen=True)
class CachedSignal:
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

    def with_news(self, past: Series | None, ahead: Series | None, now_s: float) -> CachedSignal:
        """New rows correct old ones; what is older than five weeks, or not yet past, is forgotten."""
        rows = {t: v for series in (self.past, past) if series is not None for t, v in _rows(series)}
        recent = {t: v for t, v in rows.items() if now_s - KEEP_S <= t <= now_s + DAY_S}
        merged = (
            on_grid(list(recent), list(recent.values()))
            if any(map(math.isfinite, recent.values()))
            else NOTHING
        )
        return CachedSignal(merged, self.ahead if ahead is None else ahead, now_s, self.fallback)


def _rows(series: Series) -> list[tuple[float, float]]:
    return [(series.start_s + i * series.step_s, float(value)) for i, value in enumerate(series.values)]


# --- the cache on disk ---------------------------------------------------------------------------


def cache_file(name: str, zone: str) -> Path:
    """Where the signal of a provider's zone is remembered: ``$XDG_CACHE_HOME/zeus-ray/carbon/``."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "zeus-ray" / "carbon" / f"{name}-{UNSAFE.sub('_', zone)}.json"


def save(path: Path, known: CachedSignal) -> None:
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


def load(path: Path, fallback: float) -> CachedSignal:
    """What was saved; a file that is missing or damaged says nothing."""
    try:
        raw = json.loads(path.read_text())
        past, ahead, asked_s = _series(raw["past"]), _series(raw["ahead"]), float(raw["asked_s"])
        if not past.end_s <= asked_s + DAY_S:
            raise BadInput(f"what was measured ends at {past.end_s!r}, after it was asked for")
        return CachedSignal(past, ahead, asked_s, fallback)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return CachedSignal(fallback=fallback)


def _plain(series: Series) -> dict[str, Any]:
    values = [value if math.isfinite(value) else None for value in series.values.tolist()]
    return {"start_s": series.start_s, "step_s": series.step_s, "values": values}


def _series(raw: dict[str, Any]) -> Series:
    values = [math.nan if value is None else float(value) for value in raw["values"]]
    start_s, step_s = float(raw["start_s"]), float(raw["step_s"])
    if not (0 <= start_s < LAST_S and 1 <= step_s <= DAY_S):
        raise BadInput(f"start is {start_s!r}, step {step_s!r}")
    return Series(start_s, step_s, np.array(values, dtype=float))
