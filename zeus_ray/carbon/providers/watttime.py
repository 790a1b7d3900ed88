"""WattTime API v3, as documented in 2026."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from zeus_ray.carbon.http_client import RETRY_REFUSED_S, JsonApi, RequestRefused, none_if_refused, split_range
from zeus_ray.carbon.providers.provider import Provider, read_secret, read_token
from zeus_ray.carbon.series import Series
from zeus_ray.errors import SignalLost
from zeus_ray.quantity_format import DAY_S

WATTTIME_USER, WATTTIME_PASSWORD = "WATTTIME_USER", "WATTTIME_PASSWORD"
WATTTIME_TOKEN = "WATTTIME_TOKEN"  # noqa: S105 — the name of a variable
KG_PER_LB = 0.45359237
"""Pounds per MWh times this are kilograms per MWh, which are grams per kWh."""


@dataclass(frozen=True)
class WattTime(Provider):
    """Marginal intensity (MOER) of a region, every five minutes. ``WATTTIME_USER`` and ``WATTTIME_PASSWORD``.

    A free account reads the region CAISO_NORTH. If ``WATTTIME_TOKEN`` is set, a bearer token of half an hour,
    it is used instead.
    """

    base_url: str = "https://api.watttime.org"

    name: ClassVar[str] = "watttime"
    spec: ClassVar[str] = "watttime:REGION"
    description: ClassVar[str] = "marginal, such as watttime:CAISO_NORTH; WATTTIME_USER and WATTTIME_PASSWORD"
    zones: ClassVar[str] = "one such as CAISO_NORTH, PJM_DC"
    zone_pattern: ClassVar[str] = r"[A-Z][A-Z0-9_]*"
    kind: ClassVar[str] = "marginal"

    def missing_credentials(self) -> str:
        """See :class:`Provider`."""
        if read_token(WATTTIME_TOKEN) or (read_secret(WATTTIME_USER) and read_secret(WATTTIME_PASSWORD)):
            return ""
        return (
            f"watttime needs {WATTTIME_USER} and {WATTTIME_PASSWORD}, or {WATTTIME_TOKEN}, in the "
            "environment, and they are not set; get an account at https://docs.watttime.org"
        )

    def fetch(self, since_s: float, now_s: float) -> tuple[Series | None, Series | None]:
        """See :class:`Provider`. One request takes at most 32 days; lb/MWh become g/kWh here."""
        if self.missing_credentials():
            raise RequestRefused(self.missing_credentials(), RETRY_REFUSED_S)
        with JsonApi(self.base_url, self.zone) as api:
            api.use_bearer(self._bearer_token(api))

            def get(path: str, **query: str) -> list[Any]:
                reply = api.get(f"/v3/{path}", {"region": self.zone, "signal_type": "co2_moer", **query})
                unit = reply.get("meta", {}).get("units") if isinstance(reply, dict) else None
                if unit != "lbs_co2_per_mwh":
                    raise SignalLost(f"the reply is in {unit!r}, not lbs_co2_per_mwh")
                return api.rows(reply, "data")

            pieces = split_range(since_s, now_s, 30 * DAY_S)
            history = [row for start, end in pieces for row in get("historical", start=start, end=end)]
            forecast = none_if_refused(get, "forecast", horizon_hours="48")
            return api.series(history, "point_time", _g_per_kwh), api.series(
                forecast, "point_time", _g_per_kwh
            )

    def _bearer_token(self, api: JsonApi) -> str:
        """Log in for each fetch: a token is valid for half an hour, and fetches are 15 minutes apart."""
        given = read_token(WATTTIME_TOKEN)
        if given:
            return given
        reply = api.get("/login", account=(read_secret(WATTTIME_USER), read_secret(WATTTIME_PASSWORD)))
        token = reply.get("token") if isinstance(reply, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise SignalLost("the reply to the login contains no token")
        return token


def _g_per_kwh(row: Any) -> float | None:  # noqa: ANN401 — JSON
    """The value of a row, which is in lb/MWh; None for a gap."""
    return None if row["value"] is None else row["value"] * KG_PER_LB
