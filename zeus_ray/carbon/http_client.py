"""Requests to a web API of carbon intensity or price, and its JSON as a :class:`Series`.

The only file of this room that uses the network. Every failure is a :class:`SignalLost`, whose message has
the status but never a body or a header, which could contain a token.
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
from typing_extensions import Self

from zeus_ray.carbon.rows_to_series import resample
from zeus_ray.carbon.series import Series
from zeus_ray.errors import BadInput, SignalLost
from zeus_ray.quantity_format import HOUR_S, parse_iso_time

HTTP_TIMEOUT_S = 10.0
RETRY_REFUSED_S = HOUR_S
"""A wrong token or zone is unlikely to become right sooner."""


class RequestRefused(SignalLost):
    """The provider refuses the request: the zone, the plan or the token."""


class JsonApi:
    """A connection to a provider's API for one fetch. It follows no redirect: a token goes to no other host.

    Args:
        base_url: the API.
        zone: what is asked for, for messages.
        headers: of all requests.
    """

    def __init__(self, base_url: str, zone: str, headers: dict[str, str] | None = None) -> None:
        self._zone = zone
        self._client = httpx.Client(
            base_url=base_url, headers=headers, timeout=HTTP_TIMEOUT_S, verify=_certificates()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.close()

    def use_bearer(self, token: str) -> None:
        """Send this token with all further requests."""
        self._client.headers["Authorization"] = f"Bearer {token}"

    def get(
        self, path: str, query: Mapping[str, str] | None = None, *, account: tuple[str, str] | None = None
    ) -> Any:  # noqa: ANN401 — JSON
        """The JSON of a reply.

        An httpx error holds the request and with it the token, so it is not chained to the error raised here.

        Raises:
            RequestRefused: status 4xx, other than "too many requests".
            SignalLost: no reply, another status, or not JSON.
        """
        why = ""
        try:
            reply = self._client.get(path, params=query, auth=account or httpx.USE_CLIENT_DEFAULT)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            why = f"no answer ({type(error).__name__})"
        if why:
            raise SignalLost(why)
        self._check_status(reply)
        try:
            return reply.json()
        except ValueError:
            why = "the reply is not JSON"
        raise SignalLost(why)

    def _check_status(self, reply: httpx.Response) -> None:
        status, retry_after_s = reply.status_code, _retry_after_s(reply)
        if status == httpx.codes.TOO_MANY_REQUESTS:
            raise SignalLost(f"too many requests ({status})", retry_after_s)
        if reply.is_client_error:
            reasons = {
                401: "the token or the password is wrong",
                403: f"the account may not read zone {self._zone!r}",
                404: f"zone {self._zone!r} is not known there",
            }
            why = reasons.get(status, f"the request for zone {self._zone!r} was refused")
            raise RequestRefused(f"{why} ({status})", max(retry_after_s, RETRY_REFUSED_S))
        if not reply.is_success:
            raise SignalLost(f"no answer but status {status}", retry_after_s)

    def rows(self, reply: Any, key: str) -> list[Any]:  # noqa: ANN401 — JSON
        """The list under ``key`` of a reply. Raises SignalLost if there is none."""
        found = reply.get(key) if isinstance(reply, dict) else None
        if not isinstance(found, list):
            raise SignalLost(f"the reply for zone {self._zone!r} has no list {key!r}")
        return found

    def series(self, rows: list[Any] | None, time_key: str, value: Callable[[Any], Any]) -> Series | None:
        """Rows of a reply at regular intervals; None if no row has a value.

        A value that is None is a gap. Raises SignalLost for a row that is not a time and an intensity.
        """
        times_s, values = [], []
        for row in rows or ():
            try:
                moment = parse_iso_time(row[time_key])
                number = value(row)
                values.append(math.nan if number is None else number + 0.0)
                times_s.append(moment.replace(tzinfo=moment.tzinfo or dt.timezone.utc).timestamp())
            except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
                times_s.append(math.nan)
            if not math.isfinite(times_s[-1]) or values[-1] < 0 or math.isinf(values[-1]):
                raise SignalLost(
                    f"the reply for zone {self._zone!r} has a row that is not a time and an intensity"
                )
        try:
            return resample(times_s, values) if any(map(math.isfinite, values)) else None
        except BadInput as error:
            raise SignalLost(f"the reply for zone {self._zone!r}: {error}") from None


@cache
def _certificates() -> ssl.SSLContext:
    """The root certificates; reading them takes 0.1 s, so they are read once."""
    return httpx.create_ssl_context()


def _retry_after_s(reply: httpx.Response) -> float:
    """Seconds from the Retry-After header: a number, or a date relative to the Date header; 0 without one."""
    text = reply.headers.get("Retry-After", "")
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    try:
        until, sent = (email.utils.parsedate_to_datetime(t) for t in (text, reply.headers.get("Date", "")))
        return max(0.0, (until - sent).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def none_if_refused(get: Callable[..., list[Any]], *where: str, **query: str) -> list[Any] | None:
    """``get(...)``, or None if the account's plan does not include it; other failures are raised."""
    try:
        return get(*where, **query)
    except RequestRefused:
        return None


def split_range(from_s: float, to_s: float, most_s: float) -> Iterator[tuple[str, str]]:
    """Starts and ends of the pieces of [from_s, to_s), at most ``most_s`` long, for one request each."""
    while from_s < to_s:
        yield utc_minute(from_s), utc_minute(min(from_s + most_s, to_s))
        from_s += most_s


def utc_minute(time_s: float) -> str:
    """A time as the providers take it: ISO 8601, UTC, to the minute."""
    return dt.datetime.fromtimestamp(time_s, dt.timezone.utc).strftime("%Y-%m-%dT%H:%MZ")
