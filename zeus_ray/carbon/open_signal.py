"""Signals of carbon intensity or price: a constant, a recorded file, and ``open_signal`` for all kinds.

``open_signal("csv:PATH")`` opens the :class:`Signal` that a short text names, as on a command line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np

from zeus_ray.carbon.providers.provider_registry import PROVIDERS, open_provider, provider_class
from zeus_ray.carbon.series import Series, Signal
from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import HOUR_S
from zeus_ray.records import GRAMS


@dataclass(frozen=True)
class ConstantSignal:
    """The same ``value`` (per kWh) at all times: a fixed tariff, or a grid of which only the mean is known.

    Raises:
        BadInput: ``value`` is not finite, or grams below zero.
    """

    value: float
    unit: str = GRAMS

    def __post_init__(self) -> None:
        """Check the value."""
        if not math.isfinite(self.value) or (self.unit == GRAMS and self.value < 0):
            raise BadInput(
                f"constant is {self.value!r} {self.unit}; a finite number is needed, grams not below 0"
            )

    def at(self, time_s: float) -> float:  # noqa: ARG002 — the protocol's argument
        """The value, at any time."""
        return self.value

    def history(self, from_s: float, to_s: float) -> Series:
        """Whole hours that begin in [from_s, to_s)."""
        first = math.ceil(from_s / HOUR_S)
        hours = max(0, math.ceil(to_s / HOUR_S) - first)
        return Series(first * HOUR_S, HOUR_S, np.full(hours, self.value))

    def forecast(self, now_s: float, horizon_s: float) -> Series:
        """Whole hours, from the one that contains ``now_s``."""
        return self.history(math.floor(now_s / HOUR_S) * HOUR_S, now_s + horizon_s)


@dataclass(frozen=True)
class RecordedSignal:
    """A recorded series, such as a file of past intensity or of day-ahead prices.

    In a gap and after the end ``at`` gives the last value before, and before the start the first one.

    Args:
        series: intervals with values per ``unit``.
        unit: as in :class:`Signal`.
        knows_future: intervals after now are a forecast (day-ahead prices). False to replay a recording
            as if its future were not known.

    Raises:
        BadInput: the series has no value.
    """

    series: Series
    unit: str = GRAMS
    knows_future: bool = True
    _filled: Series = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Fill the gaps once."""
        if not np.isfinite(self.series.values).any():
            raise BadInput(f"none of {len(self.series)} intervals has a value")
        object.__setattr__(self, "_filled", self.series.without_gaps())

    def at(self, time_s: float) -> float:
        """The value of the interval that contains ``time_s``; see the class for gaps and times outside."""
        if not math.isfinite(time_s):
            return math.nan
        index = math.floor((time_s - self._filled.start_s) / self._filled.step_s)
        return float(self._filled.values[min(max(index, 0), len(self._filled) - 1)])

    def history(self, from_s: float, to_s: float) -> Series:
        """The recorded values, gaps as NaN."""
        return self.series.between(from_s, to_s)

    def forecast(self, now_s: float, horizon_s: float) -> Series | None:
        """The intervals from the one that contains ``now_s``, as far as the recording reaches."""
        if not self.knows_future:
            return None
        future = self.series.since(now_s, horizon_s)
        return future if np.isfinite(future.values).any() else None


# --- from a short text ---------------------------------------------------------------------------

Options = dict[str, str]


def open_signal(spec: str) -> Signal:
    """The signal that a short text names.

    - ``constant:400``: grams per kWh; ``constant:0.3?unit=EUR/kWh`` is a price.
    - ``csv:PATH``: a file; ``csv:PATH?column=…&timezone=Europe/Berlin&unit=EUR/kWh``.
    - ``uk``, ``watttime:REGION``: a provider, with its zone; ``zeus-ray carbon --help`` lists all.

    Raises:
        BadInput: no such signal, a credential or a zone that is missing, or an error in the file; with
            what is allowed.
    """
    named, _, query = str(spec).strip().partition("?")
    kind, _, argument = named.partition(":")
    options = dict(parse_qsl(query, keep_blank_values=True))
    if kind in _BUILT_IN:
        return _BUILT_IN[kind](argument, options)
    if kind not in PROVIDERS:
        allowed = ", ".join(allowed_spec for allowed_spec, _ in signal_specs())
        raise BadInput(f"signal is {spec!r}; allowed: {allowed}")
    _check_options(kind, options)
    return open_provider(kind, argument)


def absolute_signal(spec: str) -> str:
    """``spec`` with the path of its file made absolute; any other signal as it is.

    For a signal that another process opens, whose working directory may be another one.
    """
    named, mark, query = spec.strip().partition("?")
    kind, _, path = named.partition(":")
    return f"csv:{Path(path).expanduser().absolute()}{mark}{query}" if kind == "csv" and path else spec


def signal_specs() -> Iterator[tuple[str, str]]:
    """Each kind of signal: how to write it, and a description in one line, for help and error messages."""
    yield "constant:NUMBER", "the same value per kWh at all times, such as constant:0.3?unit=EUR/kWh"
    yield "csv:PATH", "a file with a time and a value per row, such as csv:f.csv?column=price&unit=EUR/kWh"
    for provider in map(provider_class, PROVIDERS):
        yield provider.spec, provider.description


def _open_constant(value: str, options: Options) -> Signal:
    _check_options("constant", options, "unit")
    try:
        number = float(value)
    except ValueError as error:
        raise BadInput(f"constant is {value!r}; give a number per kWh, such as constant:400") from error
    return ConstantSignal(number, **options)


def _open_csv(path: str, options: Options) -> Signal:
    from zeus_ray.carbon.csv_reader import read_csv  # noqa: PLC0415 — pandas takes half a second

    _check_options("csv", options, "column", "timezone", "unit")
    unit = options.get("unit", GRAMS)
    series = read_csv(
        Path(path).expanduser(),
        column=options.get("column"),
        timezone=options.get("timezone"),
        minimum=0.0 if unit == GRAMS else -math.inf,
    )
    return RecordedSignal(series, unit)


def _check_options(kind: str, options: Options, *allowed: str) -> None:
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise BadInput(
            f"option {unknown[0]!r} of {kind!r} is not known; allowed: {', '.join(allowed) or 'none'}"
        )


_BUILT_IN: dict[str, Callable[[str, Options], Signal]] = {"constant": _open_constant, "csv": _open_csv}
