"""Asking a web API for JSON. The only file of this room on the network.

Whatever goes wrong is a :class:`SignalLost`, whose message carries the status and never a body or a
header: there could be a token in them.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import math
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import httpx

from zeus_ray.carbon.csv_reader import on_grid
from zeus_ray.carbon.remote_signal import SignalSource
from zeus_ray.carbon.series import Series
from zeus_ray.errors import BadInput, SignalLost
from zeus_ray.units import parse_iso_time

Client = httpx.Client
TIMEOUT_S = 10.0
PATIENT_S = 3600.0
"""A token or zone that is wrong stays so for a while."""


class Refused(SignalLost):
    """The provider understood, and said no: a zone, a plan, a token."""


def connect(base_url: str, **options: Any) -> Client:  # noqa: ANN401 — httpx's own
    """A connection for one fetch. It follows no redirect: a token goes nowhere else."""
    return httpx.Client(base_url=base_url, timeout=TIMEOUT_S, verify=_trusted(), **options)


@cache
def _trusted() -> ssl.SSLContext:
    """Reading all root certificates takes a tenth of a second: once is enough."""
    return httpx.create_ssl_context()


def get_json(
    source: SignalSource,
    client: Client,
    path: str,
    query: Mapping[str, str] | None = None,
    *,
    account: tuple[str, str] | None = None,
) -> Any:  # noqa: ANN401 — JSON
    """The JSON of a reply. Errors of httpx hold the request and so the token: they end here."""
    why = ""
    try:
        reply = client.get(path, params=query, auth=account or httpx.USE_CLIENT_DEFAULT)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        why = f"no answer ({type(error).__name__})"
    if why:
        raise SignalLost(why)
    status, later_s = reply.status_code, _retry_after_s(reply)
    said = {
        401: "the token or the password is wrong",
        403: f"the account may not read zone {source.zone!r}",
        404: f"zone {source.zone!r} is not known there",
    }
    if status == httpx.codes.TOO_MANY_REQUESTS:
        raise SignalLost(f"asked too often ({status})", later_s)
    if reply.is_client_error:
        why = said.get(status, f"the request for zone {source.zone!r} was refused")
        raise Refused(f"{why} ({status})", max(later_s, PATIENT_S))
    if not reply.is_success:
        raise SignalLost(f"no answer but status {status}", later_s)
    try:
        return reply.json()
    except ValueError:
        why = "the reply is not JSON"
    raise SignalLost(why)


def _retry_after_s(reply: httpx.Response) -> float:
    """Seconds from a Retry-After header: a number, or a date, counted from the reply's own; 0 without one."""
    text = reply.headers.get("Retry-After", "")
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    try:
        until, sent = (email.utils.parsedate_to_datetime(t) for t in (text, reply.headers.get("Date", "")))
        return max(0.0, (until - sent).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def unless_refused(get: Callable[..., list[Any]], *where: str, **query: str) -> list[Any] | None:
    """What a plan does not include is not there; anything else that goes wrong is an error."""
    try:
        return get(*where, **query)
    except Refused:
        return None


def chunks(from_s: float, to_s: float, most_s: float) -> Iterator[tuple[float, float]]:
    """[from_s, to_s) in pieces of at most ``most_s``: what one request may ask for."""
    while from_s < to_s:
        yield from_s, min(from_s + most_s, to_s)
        from_s += most_s


def iso(time_s: float) -> str:
    """As all three providers take times: UTC, to the minute."""
    return dt.datetime.fromtimestamp(time_s, dt.timezone.utc).strftime("%Y-%m-%dT%H:%MZ")


# --- replies -------------------------------------------------------------------------------------


def rows_of(source: SignalSource, reply: Any, key: str) -> list[Any]:  # noqa: ANN401 — JSON
    """The list under ``key``. Raises SignalLost where there is none."""
    rows = reply.get(key) if isinstance(reply, dict) else None
    if not isinstance(rows, list):
        raise SignalLost(f"the reply for zone {source.zone!r} has no list {key!r}")
    return rows


def field(name: str, factor: float = 1.0) -> Callable[[Any], Any]:
    """Reads an entry of a row, times ``factor``; null stays null."""
    return lambda row: None if row[name] is None else row[name] * factor


def series_of(
    source: SignalSource, rows: list[Any], time_key: str, value: Callable[[Any], Any]
) -> Series | None:
    """Rows of JSON on a regular grid; null is a gap, anything else that is no intensity is an error."""
    times, values = [], []
    for row in rows:
        try:
            moment = parse_iso_time(row[time_key])
            number = value(row)
            values.append(math.nan if number is None else number + 0.0)
            times.append(moment.replace(tzinfo=moment.tzinfo or dt.timezone.utc).timestamp())
        except (KeyError, TypeError, ValueError, OverflowError):
            times.append(math.nan)
        if not math.isfinite(times[-1]) or values[-1] < 0 or math.isinf(values[-1]):
            raise SignalLost(f"the reply for zone {source.zone!r} has a row that is no time and intensity")
    try:
        return on_grid(times, values) if any(map(math.isfinite, values)) else None
    except BadInput as error:
        raise SignalLost(f"the reply for zone {source.zone!r}: {error}") from None
