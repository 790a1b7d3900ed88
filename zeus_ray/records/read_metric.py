"""How a metric is read from a result: the one rule for session, searcher, scheduler and command line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

from zeus_ray.errors import BadInput
from zeus_ray.records.knobs_progress_outcome_best import NAN

MISSING = object()
"""What :func:`metric_entry` returns for a metric that a result does not have."""


def read_metric(result: Mapping[str, Any], name: str) -> float:
    """The metric ``name`` of a result; NaN unless it is a finite number.

    Args:
        result: metrics by name. Nested dictionaries are read as Ray Tune flattens them: ``"eval/accuracy"``
            is also found in ``{"eval": {"accuracy": 0.9}}``.
        name: the metric.

    Numbers are those of Python and numpy, and arrays and tensors without a dimension. None, texts, truth
    values and infinite numbers are NaN: no target is ever reached by them.
    """
    return as_number(metric_entry(result, name))


def as_number(value: object) -> float:
    """``value`` as a finite float; NaN for anything that is no finite number, see :func:`read_metric`."""
    try:
        number = float(_scalar(value) if is_number(value) else NAN)  # type: ignore[arg-type]  # is_number says so
    except OverflowError:
        return NAN
    return number if math.isfinite(number) else NAN


def is_number(value: object) -> bool:
    """Whether ``value`` is a real number, finite or not, and no truth value."""
    plain = _scalar(value)
    return isinstance(plain, Real) and not isinstance(plain, bool)


def _scalar(value: object) -> object:
    """The Python value of numpy's scalars, and of arrays and tensors without a dimension."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "ndim", None) == 0 else value


def metric_entry(result: Mapping[str, Any], name: str) -> object:
    """What a result has under ``name``, whatever it is; :data:`MISSING` where it has nothing."""
    if name in result:
        return result[name]
    at = name.find("/")
    while at >= 0:
        inner = result.get(name[:at])
        found = metric_entry(inner, name[at + 1 :]) if isinstance(inner, Mapping) else MISSING
        if found is not MISSING:
            return found
        at = name.find("/", at + 1)
    return MISSING


def metric_names(result: Mapping[str, Any]) -> Iterator[str]:
    """The names of all entries of a result, flattened as Ray Tune does."""
    for name, value in result.items():
        if isinstance(value, Mapping) and value:
            yield from (f"{name}/{inner}" for inner in metric_names(value))
        else:
            yield str(name)


def check_metric(result: Mapping[str, Any], name: str) -> str:
    """Check that ``name`` can be the target of a run that reports ``result``.

    Returns:
        A warning for an entry that is no number, and therefore read as NaN; "" where there is none. None and
        numbers that are not finite need none: an epoch may go by without an evaluation, and a loss diverge.

    Raises:
        BadInput: the metric is missing or a text. The message lists what was reported.
    """
    entry = metric_entry(result, name)
    if entry is MISSING or isinstance(entry, str | bytes):
        got = "is missing" if entry is MISSING else f"is the text {entry!r}"
        there = ", ".join(map(repr, metric_names(result))) or "nothing"
        raise BadInput(
            f"the target metric {name!r} {got} in a report; reported: {there}. Report it as a number each "
            "time, or as None where it was not evaluated"
        )
    if entry is None or is_number(entry):
        return ""
    return (
        f"the target metric {name!r} is no number but {type(entry).__name__} {entry!r}, "
        "which reaches no target: report a number"
    )
