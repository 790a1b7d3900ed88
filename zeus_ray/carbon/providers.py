"""The web APIs that know the grid: what each is asked, and what its replies mean.

A token is read from the environment when a request is made and kept nowhere: no object holds one, so
none can be logged, stored or pickled.

Formats: api.carbonintensity.org.uk, Electricity Maps API v3, WattTime API v3, as documented in 2026.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zeus_ray.carbon.cache import cache_file
from zeus_ray.carbon.http_client import (
    PATIENT_S,
    Client,
    Refused,
    chunks,
    connect,
    field,
    get_json,
    iso,
    rows_of,
    series_of,
    unless_refused,
)
from zeus_ray.carbon.remote_signal import RemoteSignal, SignalSource
from zeus_ray.carbon.series import Series
from zeus_ray.carbon.signal import GRAMS
from zeus_ray.errors import BadInput, SignalLost

DAY_S = 86400.0
KG_PER_LB = 0.45359237
"""Pounds per MWh times this are kilograms per MWh, which are grams per kWh."""
ELECTRICITYMAPS_TOKEN = "ELECTRICITYMAPS_TOKEN"  # noqa: S105 — the variable's name, not a token
SANDBOX = "SANDBOX_MODE_DATA"
"""How Electricity Maps marks numbers that it made up, for a token that is only for trying out."""
WATTTIME_TOKEN = "WATTTIME_TOKEN"  # noqa: S105 — likewise
WATTTIME_USER, WATTTIME_PASSWORD = "WATTTIME_USER", "WATTTIME_PASSWORD"

Fetched = tuple[Series | None, Series | None]


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
        """See :class:`SignalSource`. One request takes at most 14 days."""
        with connect(self.base_url) as client:

            def get(path: str) -> list[Any]:
                return rows_of(self, get_json(self, client, f"/intensity/{path}"), "data")

            past = [
                row
                for first, last in chunks(since_s, now_s, 13 * DAY_S)
                for row in get(f"{iso(first)}/{iso(last)}")
            ]
            ahead = get(f"{iso(now_s)}/fw48h")
        return (
            series_of(self, past, "from", lambda row: row["intensity"]["actual"]),
            series_of(self, ahead, "from", lambda row: row["intensity"]["forecast"]),
        )


@dataclass(frozen=True)
class ElectricityMaps:
    """Average intensity of most of the world's zones, hourly. Token in ``ELECTRICITYMAPS_TOKEN``.

    A free token knows the last 24 hours of one zone: then there is no forecast, and the past grows
    in the cache. A sandbox token's numbers are made up: they are refused.
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
        """See :class:`SignalSource`. One request takes at most ten days."""
        if self.missing():
            raise Refused(self.missing(), PATIENT_S)
        with connect(self.base_url, headers={"auth-token": _token(ELECTRICITYMAPS_TOKEN)}) as client:

            def get(path: str, key: str, **query: str) -> list[Any]:
                path = f"/v3/carbon-intensity/{path}"
                return rows_of(self, get_json(self, client, path, {"zone": self.zone, **query}), key)

            past = get("history", "history")
            if any(isinstance(row, dict) and row.get("estimationMethod") == SANDBOX for row in past):
                raise Refused(
                    f"{ELECTRICITYMAPS_TOKEN} is a sandbox token: its numbers are made up", PATIENT_S
                )
            for first, last in chunks(since_s, now_s - DAY_S, 9 * DAY_S):
                more = unless_refused(get, "past-range", "data", start=iso(first), end=iso(last))
                if more is None:
                    break
                past += more
            ahead = unless_refused(get, "forecast", "forecast", horizonHours="48")
        value = field("carbonIntensity")
        return (
            series_of(self, past, "datetime", value),
            None if ahead is None else series_of(self, ahead, "datetime", value),
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
        """See :class:`SignalSource`. One request takes at most 32 days; lbs/MWh end here."""
        if self.missing():
            raise Refused(self.missing(), PATIENT_S)
        with connect(self.base_url) as client:
            client.headers["Authorization"] = f"Bearer {self._bearer(client)}"

            def get(path: str, **query: str) -> list[Any]:
                query |= {"region": self.zone, "signal_type": "co2_moer"}
                reply = get_json(self, client, f"/v3/{path}", query)
                unit = reply.get("meta", {}).get("units") if isinstance(reply, dict) else None
                if unit != "lbs_co2_per_mwh":
                    raise SignalLost(f"the reply is in {unit!r}, not lbs_co2_per_mwh")
                return rows_of(self, reply, "data")

            past = [
                row
                for first, last in chunks(since_s, now_s, 30 * DAY_S)
                for row in get("historical", start=iso(first), end=iso(last))
            ]
            ahead = unless_refused(get, "forecast", horizon_hours="48")
        value = field("value", KG_PER_LB)
        return (
            series_of(self, past, "point_time", value),
            None if ahead is None else series_of(self, ahead, "point_time", value),
        )

    def _bearer(self, client: Client) -> str:
        """Log in anew each time: a token lives for half an hour, and we ask every quarter."""
        given = _token(WATTTIME_TOKEN)
        if given:
            return given
        account = (_secret(WATTTIME_USER), _secret(WATTTIME_PASSWORD))
        reply = get_json(self, client, "/login", account=account)
        token = reply.get("token") if isinstance(reply, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise SignalLost("the reply to the login holds no token")
        return token


PROVIDERS: dict[str, Callable[..., Uk | ElectricityMaps | WattTime]] = {
    "uk": Uk,
    "electricitymaps": ElectricityMaps,
    "watttime": WattTime,
}


def open_provider(name: str, zone: str = "") -> RemoteSignal:
    """The signal of a provider and zone, remembered on disk.

    Raises:
        BadInput: a zone that cannot be one, or no token in the environment.
    """
    source = provider(name, zone)
    if source.missing():
        raise BadInput(source.missing())
    return RemoteSignal(source, cache=cache_file(source.name, source.zone))


def provider(name: str, zone: str = "") -> Uk | ElectricityMaps | WattTime:
    """Who is asked, whether or not this process has the token.

    Raises:
        BadInput: a zone that cannot be one.
    """
    source = PROVIDERS[name](zone) if zone else PROVIDERS[name]()
    source.check()
    return source


def _check_zone(source: SignalSource, pattern: str, examples: str) -> None:
    if not re.fullmatch(pattern, source.zone):
        raise BadInput(f"zone of {source.name} is {source.zone!r}; write one such as {examples}")


def _needs(source: SignalSource, names: str, where: str) -> str:
    return f"{source.name} needs {names} in the environment, and it is not there; get one at {where}"


def _secret(name: str) -> str:
    """What the environment says, this moment; "" where it says nothing."""
    return os.environ.get(name, "").strip()


def _token(name: str) -> str:
    """As :func:`_secret`; what no header can carry is as good as nothing."""
    text = _secret(name)
    return text if text.isprintable() and text.isascii() else ""
