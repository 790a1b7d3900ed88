"""Electricity Maps API v3, as documented in 2026."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from zeus_ray.carbon.http_client import (
    RETRY_REFUSED_S,
    RequestRefused,
    get_json,
    get_list,
    none_if_refused,
    number_at,
    open_client,
    series_of_rows,
    split_range,
    utc_minute,
)
from zeus_ray.carbon.providers.provider import Provider, read_token
from zeus_ray.carbon.series import Series
from zeus_ray.units import DAY_S

ELECTRICITYMAPS_TOKEN = "ELECTRICITYMAPS_TOKEN"  # noqa: S105 — the variable's name, not a token
SANDBOX_METHOD = "SANDBOX_MODE_DATA"
"""The estimation method of the invented values that a sandbox token gets."""


@dataclass(frozen=True)
class ElectricityMaps(Provider):
    """Average intensity of most of the world's zones, hourly. Token in ``ELECTRICITYMAPS_TOKEN``.

    A free token gives the last 24 hours of one zone and no forecast; the history grows in the cache. The
    invented values that a sandbox token gets are refused.
    """

    base_url: str = "https://api.electricitymaps.com"

    name: ClassVar[str] = "electricitymaps"
    spec: ClassVar[str] = "electricitymaps:ZONE"
    description: ClassVar[str] = (
        "most of the world, such as electricitymaps:DE; token in ELECTRICITYMAPS_TOKEN"
    )
    zones: ClassVar[str] = "one such as DE, FR, US-CAL-CISO"
    zone_pattern: ClassVar[str] = r"[A-Z]{2}(-[A-Z0-9]+)*"

    def missing_credentials(self) -> str:
        """See :class:`Provider`."""
        if read_token(ELECTRICITYMAPS_TOKEN):
            return ""
        return (
            f"electricitymaps needs {ELECTRICITYMAPS_TOKEN} in the environment, and it is not set; "
            "get a token at https://www.electricitymaps.com"
        )

    def fetch(self, since_s: float, now_s: float) -> tuple[Series | None, Series | None]:
        """See :class:`Provider`. One request takes at most ten days."""
        if self.missing_credentials():
            raise RequestRefused(self.missing_credentials(), RETRY_REFUSED_S)
        with open_client(self.base_url, headers={"auth-token": read_token(ELECTRICITYMAPS_TOKEN)}) as client:

            def get(path: str, key: str, **query: str) -> list[Any]:
                query |= {"zone": self.zone}
                reply = get_json(client, f"/v3/carbon-intensity/{path}", query, zone=self.zone)
                return get_list(reply, key, zone=self.zone)

            history = get("history", "history")
            if any(
                isinstance(row, dict) and row.get("estimationMethod") == SANDBOX_METHOD for row in history
            ):
                raise RequestRefused(
                    f"{ELECTRICITYMAPS_TOKEN} is a sandbox token, whose values are invented", RETRY_REFUSED_S
                )
            for first_s, last_s in split_range(since_s, now_s - DAY_S, 9 * DAY_S):
                older = none_if_refused(
                    get, "past-range", "data", start=utc_minute(first_s), end=utc_minute(last_s)
                )
                if older is None:
                    break
                history += older
            forecast = none_if_refused(get, "forecast", "forecast", horizonHours="48")
        value = number_at("carbonIntensity")
        return (
            series_of_rows(history, "datetime", value, zone=self.zone),
            series_of_rows(forecast or [], "datetime", value, zone=self.zone),
        )
