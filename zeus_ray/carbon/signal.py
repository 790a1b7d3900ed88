"""Intensity or price from where nothing can fail: a constant, or what a file recorded.

``open_signal("csv:PATH")`` turns a short text, as on a command line, into any :class:`Signal`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np

from zeus_ray import records
from zeus_ray.carbon.csv_reader import read_csv
from zeus_ray.carbon.series import Array, Series, Signal
from zeus_ray.errors import BadInput

GRAMS = records.GRAMS
HOUR_S = 3600.0


@dataclass(frozen=True)
class ConstantSignal:
    """The same ``value`` (per kWh) at all times: a contract, or a grid of which only the mean is known.

    Raises:
        BadInput: a value that is not a number, or grams below zero.
    """

    value: float
    unit: str = GRAMS

    def __post_init__(self) -> None:
        """Refuse what no grid can be."""
        if not math.isfinite(self.value) or (self.unit == GRAMS and self.value < 0):
            raise BadInput(
                f"constant is {self.value!r} {self.unit}; a finite number is needed, grams not below 0"
            )

    def at(self, time_s: float) -> float:  # noqa: ARG002 — the protocol's argument
        """The value, whenever."""
        return self.value

    def history(self, from_s: float, to_s: float) -> Series:
        """Whole hours that begin in [from_s, to_s)."""
        first = math.ceil(from_s / HOUR_S)
        hours = max(0, math.ceil(to_s / HOUR_S) - first)
        return Series(first * HOUR_S, HOUR_S, np.full(hours, self.value))

    def forecast(self, now_s: float, horizon_s: float) -> Series:
        """Whole hours, from the one that holds ``now_s``."""
        return self.history(math.floor(now_s / HOUR_S) * HOUR_S, now_s + horizon_s)


@dataclass(frozen=True)
class RecordedSignal:
    """What a series says, such as a file of past intensity or of day-ahead prices.

    In a gap and after the end the last known value holds, before the start the first.

    Args:
        series: intervals with values per ``unit``.
        unit: as in :class:`Signal`.
        knows_future: rows after now are a forecast (day-ahead prices). False for a replay, where
            the file knows what nobody could have known.

    Raises:
        BadInput: nothing in it is known.
    """

    series: Series
    unit: str = GRAMS
    knows_future: bool = True
    _held: Series = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Fill the gaps once."""
        if not np.isfinite(self.series.values).any():
            raise BadInput(f"none of {len(self.series)} intervals has a value")
        held = Series(self.series.start_s, self.series.step_s, hold(self.series.values))
        object.__setattr__(self, "_held", held)

    def at(self, time_s: float) -> float:
        """The value of that interval; see the class for gaps and for times outside."""
        if not math.isfinite(time_s):
            return math.nan
        index = math.floor((time_s - self._held.start_s) / self._held.step_s)
        return float(self._held.values[min(max(index, 0), len(self._held) - 1)])

    def history(self, from_s: float, to_s: float) -> Series:
        """What was recorded, gaps as NaN."""
        return self.series.between(from_s, to_s)

    def forecast(self, now_s: float, horizon_s: float) -> Series | None:
        """The intervals from the one that holds ``now_s`` on, as far as they go."""
        if not self.knows_future:
            return None
        known = self.series.between(now_s - self.series.step_s * (1 - 1e-6), now_s + horizon_s)
        return known if np.isfinite(known.values).any() else None


def hold(values: Array) -> Array:
    """Gaps filled with the last known value, and the first known before there is one; all NaN stays."""
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return values
    last = np.searchsorted(known, np.arange(len(values)), side="right") - 1
    return values[known[np.maximum(last, 0)]]


# --- from a short text ---------------------------------------------------------------------------

Options = dict[str, str]


def open_signal(text: str) -> Signal:
    """A signal from a short text.

    ``constant:400``                       grams per kWh; ``constant:0.3?unit=EUR/kWh`` a price
    ``csv:PATH``                           a file; ``csv:PATH?column=…&timezone=Europe/Berlin&unit=…``
    ``uk``                                 Great Britain, no key
    ``electricitymaps:DE``                 a zone of Electricity Maps; ELECTRICITYMAPS_TOKEN
    ``watttime:CAISO_NORTH``               a region of WattTime; WATTTIME_USER and WATTTIME_PASSWORD

    Raises:
        BadInput: no such kind, what it lacks (a token, a zone), or what is wrong with the file; and
            what is allowed.
    """
    named, _, query = str(text).strip().partition("?")
    kind, _, rest = named.partition(":")
    if kind not in KINDS:
        raise BadInput(f"signal is {text!r}; allowed: {ALLOWED}")
    return KINDS[kind](rest, dict(parse_qsl(query, keep_blank_values=True)))


def _constant(value: str, options: Options) -> Signal:
    _only("constant", options, "unit")
    try:
        number = float(value)
    except ValueError as error:
        raise BadInput(f"constant is {value!r}; give a number per kWh, such as constant:400") from error
    return ConstantSignal(number, **options)


def _csv(path: str, options: Options) -> Signal:
    _only("csv", options, "column", "timezone", "unit")
    unit = options.get("unit", GRAMS)
    series = read_csv(
        Path(path).expanduser(),
        column=options.get("column"),
        timezone=options.get("timezone"),
        lowest=0.0 if unit == GRAMS else -math.inf,
    )
    return RecordedSignal(series, unit)


def _only(kind: str, options: Options, *allowed: str) -> None:
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise BadInput(
            f"option {unknown[0]!r} of {kind!r} is not known; allowed: {', '.join(allowed) or 'none'}"
        )


def _provider(name: str) -> Callable[[str, Options], Signal]:
    def opened(zone: str, options: Options) -> Signal:
        from zeus_ray.carbon.providers import open_provider  # noqa: PLC0415 — no network for a file

        _only(name, options)
        return open_provider(name, zone)

    return opened


KINDS: dict[str, Callable[[str, Options], Signal]] = {
    "constant": _constant,
    "csv": _csv,
    **{name: _provider(name) for name in ("uk", "electricitymaps", "watttime")},
}
ALLOWED = (
    "constant:GRAMS_PER_KWH, csv:PATH, uk, electricitymaps:ZONE (such as DE), watttime:REGION (CAISO_NORTH)"
)
