"""``open_signal("csv:PATH")`` opens the :class:`Signal` that a short text names, as on a command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl

from zeus_ray.carbon.constant_and_recorded_signal import ConstantSignal, RecordedSignal
from zeus_ray.carbon.providers.provider_registry import PROVIDERS, open_provider, provider_class
from zeus_ray.carbon.series import Signal
from zeus_ray.errors import BadInput
from zeus_ray.records import GRAMS

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
