"""The web APIs that know the grid. The only file of this room on the network.

A token is read from the environment when a request is made and kept nowhere: no object holds one, so
none can be logged, stored or pickled. Messages carry the status and never a body or a header.

Formats: api.carbonintensity.org.uk, Electricity Maps API v3, WattTime API v3, as documented in 2026.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import math
import os
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx

from zeus_ray.carbon.remote import Remote, Source, cache_file
from zeus_ray.carbon.series import Series
from zeus_ray.carbon.signal import GRAMS
from zeus_ray.carbon.table import on_grid
from zeus_ray.errors import BadInput, SignalLost

TIMEOUT_S = 10.0
DAY_S = 86400.0
KG_PER_LB = 0.45359237
"""Pounds per MWh times this are kilograms per MWh, which are grams per kWh."""
ELECTRICITYMAPS_TOKEN = "ELECTRICITYMAPS_TOKEN"  # noqa: S105 — the variable's name, not a token
WATTTIME_TOKEN = "WATTTIME_TOKEN"  # noqa: S105 — likewise
WATTTIME_USER, WATTTIME_PASSWORD = "WATTTIME_USER", "WATTTIME_PASSWORD"

Fetched = tuple[Series | None, Series | None]


class _Refused(SignalLost):
    """The provider understood, and said no: a zone, a plan, a token."""


@dataclass(frozen=True)
class Uk:
    """Great Britain's average intensity, half-hourly, with a forecast of 48 hours. No key."""

    zone: str = "GB"
    base_url: str = "https://api.carbonintensity.org.uk"
    name: str = "uk"
    unit: str = GRAMS
    kind: str = "average"

    def check(self) -> None:
        """Refuse another zone than the one there is."""
        if self.zone != "GB":
            raise BadInput(f"zone is {self.zone!r}; uk has one zone, GB (write just uk)")

    def missing(self) -> str:
        """What the environment lacks: nothing is needed."""
        return ""

    def fetch(self, since_s: float, now_s: float) -> Fetched:
        """See :class:`Source`. One request takes at most 14 days."""
        with _client(self.base_url) as client:
            past = [
                row
                for first, last in _chunks(since_s, now_s, 13 * DAY_S)
                for row in _list(self, _get(self, client, f"/intensity/{_iso(first)}/{_iso(last)}"), "data")
            ]
            ahead = _list(self, _get(self, client, f"/intensity/{_iso(now_s)}/fw48h"), "data")
        return (
            _series(self, past, "from", lambda row: row["intensity"]["actual"]),
            _series(self, ahead, "from", lambda row: row["intensity"]["forecast"]),
        )


@dataclass(frozen=True)
class ElectricityMaps:
    """Average intensity of most of the world's zones, hourly. Token in ``ELECTRICITYMAPS_TOKEN``.

    A free token knows the last 24 hours of one zone: then there is no forecast, and the past grows
    in the cache.
    """

    zone: str = ""
    base_url: str = "https://api.electricitymaps.com"
    name: str = "electricitymaps"
    unit: str = GRAMS
    kind: str = "average"

    def check(self) -> None:
        """Refuse a zone that cannot be one."""
        _check_zone(self, r"[A-Z]{2}(-[A-Z0-9]+)*", "DE, FR, US-CAL-CISO")

    def missing(self) -> str:
        """What the environment lacks, "" for nothing."""
        if _token(ELECTRICITYMAPS_TOKEN):
            return ""
        return _needs(self, ELECTRICITYMAPS_TOKEN, "https://www.electricitymaps.com")

    def fetch(self, since_s: float, now_s: float) -> Fetched:
        """See :class:`Source`. One request takes at most ten days."""
        if self.missing():
            raise _Refused(self.missing(), PATIENT_S)
        with _client(self.base_url, headers={"auth-token": _token(ELECTRICITYMAPS_TOKEN)}) as client:

            def get(path: str, key: str, **query: str) -> list[Any]:
                path = f"/v3/carbon-intensity/{path}"
                return _list(self, _get(self, client, path, zone=self.zone, **query), key)

            past = get("history", "history")
            for first, last in _chunks(since_s, now_s - DAY_S, 9 * DAY_S):
                more = _unless_refused(get, "past-range", "data", start=_iso(first), end=_iso(last))
                if more is None:
                    break
                past += more
            ahead = _unless_refused(get, "forecast", "forecast", horizonHours="48")
        value = _field("carbonIntensity")
        return (
            _series(self, past, "datetime", value),
            None if ahead is None else _series(self, ahead, "datetime", value),
        )


@dataclass(frozen=True)
class WattTime:
    """Marginal intensity (MOER) of a region, every five minutes. ``WATTTIME_USER`` and ``WATTTIME_PASSWORD``.

    A free account reads the region CAISO_NORTH. ``WATTTIME_TOKEN``, a bearer token of half an hour,
    is used where it is set.
    """

    zone: str = ""
    base_url: str = "https://api.watttime.org"
    name: str = "watttime"
    unit: str = GRAMS
    kind: str = "marginal"

    def check(self) -> None:
        """Refuse a region that cannot be one."""
        _check_zone(self, r"[A-Z][A-Z0-9_]*", "CAISO_NORTH, PJM_DC")

    def missing(self) -> str:
        """What the environment lacks, "" for nothing."""
        if _token(WATTTIME_TOKEN) or (_secret(WATTTIME_USER) and _secret(WATTTIME_PASSWORD)):
            return ""
        names = f"{WATTTIME_USER} and {WATTTIME_PASSWORD}, or {WATTTIME_TOKEN},"
        return _needs(self, names, "https://docs.watttime.org")

    def fetch(self, since_s: float, now_s: float) -> Fetched:
        """See :class:`Source`. One request takes at most 32 days; lbs/MWh end here."""
        if self.missing():
            raise _Refused(self.missing(), PATIENT_S)
        with _client(self.base_url) as client:
            client.headers["Authorization"] = f"Bearer {self._bearer(client)}"

            def get(path: str, **query: str) -> list[Any]:
                query |= {"region": self.zone, "signal_type": "co2_moer"}
                reply = _get(self, client, f"/v3/{path}", **query)
                unit = reply.get("meta", {}).get("units") if isinstance(reply, dict) else None
                if unit != "lbs_co2_per_mwh":
                    raise SignalLost(f"the reply is in {unit!r}, not lbs_co2_per_mwh")
                return _list(self, reply, "data")

            past = [
                row
                for first, last in _chunks(since_s, now_s, 30 * DAY_S)
                for row in get("historical", start=_iso(first), end=_iso(last))
            ]
            ahead = _unless_refused(get, "forecast", horizon_hours="48")
        value = _field("value", KG_PER_LB)
        return (
            _series(self, past, "point_time", value),
            None if ahead is None else _series(self, ahead, "point_time", value),
        )

    def _bearer(self, client: httpx.Client) -> str:
        """Log in anew each time: a token lives for half an hour, and we ask every quarter."""
        given = _token(WATTTIME_TOKEN)
        if given:
            return given
        account = httpx.BasicAuth(_secret(WATTTIME_USER), _secret(WATTTIME_PASSWORD))
        reply = _get(self, client, "/login", auth=account)
        token = reply.get("token") if isinstance(reply, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise SignalLost("the reply to the login holds no token")
        return token


PROVIDERS: dict[str, Callable[..., Uk | ElectricityMaps | WattTime]] = {
    "uk": Uk,
    "electricitymaps": ElectricityMaps,
    "watttime": WattTime,
}


def open_provider(name: str, zone: str = "") -> Remote:
    """The signal of a provider and zone, remembered on disk.

    Raises:
        BadInput: a zone that cannot be one, or no token in the environment.
    """
    source = provider(name, zone)
    if source.missing():
        raise BadInput(source.missing())
    return Remote(source, cache=cache_file(source))


def provider(name: str, zone: str = "") -> Uk | ElectricityMaps | WattTime:
    """Who is asked, whether or not this process has the token.

    Raises:
        BadInput: a zone that cannot be one.
    """
    source = PROVIDERS[name](zone) if zone else PROVIDERS[name]()
    source.check()
    return source


def _check_zone(source: Source, pattern: str, examples: str) -> None:
    if not re.fullmatch(pattern, source.zone):
        raise BadInput(f"zone of {source.name} is {source.zone!r}; write one such as {examples}")


def _needs(source: Source, names: str, where: str) -> str:
    return f"{source.name} needs {names} in the environment, and it is not there; get one at {where}"


def _secret(name: str) -> str:
    """What the environment says, this moment; "" where it says nothing."""
    return os.environ.get(name, "").strip()


def _token(name: str) -> str:
    """As :func:`_secret`; what no header can carry is as good as nothing."""
    text = _secret(name)
    return text if text.isprintable() and text.isascii() else ""


# --- requests ------------------------------------------------------------------------------------

PATIENT_S = 3600.0
"""A token or zone that is wrong stays so for a while."""


def _client(base_url: str, **options: Any) -> httpx.Client:  # noqa: ANN401 — httpx's own
    """A connection for one fetch. It follows no redirect: a token goes nowhere else."""
    return httpx.Client(base_url=base_url, timeout=TIMEOUT_S, verify=_trusted(), **options)


@cache
def _trusted() -> ssl.SSLContext:
    """Reading all root certificates takes a tenth of a second: once is enough."""
    return httpx.create_ssl_context()


def _get(source: Source, client: httpx.Client, path: str, *, auth: Any = None, **query: str) -> Any:  # noqa: ANN401 — JSON
    """The JSON of a reply. Errors of httpx hold the request and so the token: they end here."""
    why = ""
    try:
        reply = client.get(path, params=query, auth=auth or httpx.USE_CLIENT_DEFAULT)
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
        raise _Refused(f"{why} ({status})", max(later_s, PATIENT_S))
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


def _unless_refused(get: Callable[..., list[Any]], *where: str, **query: str) -> list[Any] | None:
    """What a plan does not include is not there; anything else that goes wrong is an error."""
    try:
        return get(*where, **query)
    except _Refused:
        return None


def _chunks(from_s: float, to_s: float, most_s: float) -> Iterator[tuple[float, float]]:
    while from_s < to_s:
        yield from_s, min(from_s + most_s, to_s)
        from_s += most_s


def _iso(time_s: float) -> str:
    return dt.datetime.fromtimestamp(time_s, dt.UTC).strftime("%Y-%m-%dT%H:%MZ")


# --- replies -------------------------------------------------------------------------------------


def _list(source: Source, reply: Any, key: str) -> list[Any]:  # noqa: ANN401 — JSON
    rows = reply.get(key) if isinstance(reply, dict) else None
    if not isinstance(rows, list):
        raise SignalLost(f"the reply for zone {source.zone!r} has no list {key!r}")
    return rows


def _field(name: str, factor: float = 1.0) -> Callable[[Any], Any]:
    return lambda row: None if row[name] is None else row[name] * factor


def _series(source: Source, rows: list[Any], time_key: str, value: Callable[[Any], Any]) -> Series | None:
    """Rows of JSON on a regular grid; null is a gap, anything else that is no intensity is an error."""
    times, values = [], []
    for row in rows:
        try:
            moment = dt.datetime.fromisoformat(row[time_key])
            number = value(row)
            values.append(math.nan if number is None else number + 0.0)
            times.append(moment.replace(tzinfo=moment.tzinfo or dt.UTC).timestamp())
        except (KeyError, TypeError, ValueError, OverflowError):
            times.append(math.nan)
        if not math.isfinite(times[-1]) or values[-1] < 0 or math.isinf(values[-1]):
            raise SignalLost(f"the reply for zone {source.zone!r} has a row that is no time and intensity")
    try:
        return on_grid(times, values) if any(map(math.isfinite, values)) else None
    except BadInput as error:
        raise SignalLost(f"the reply for zone {source.zone!r}: {error}") from None
