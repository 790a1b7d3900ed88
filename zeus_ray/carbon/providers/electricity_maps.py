"""Electricity Maps API v3, as documented in 2026."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from zeus_ray.carbon.http_client import RETRY_REFUSED_S, JsonApi, RequestRefused, none_if_refused, split_range
from zeus_ray.carbon.providers.provider import Provider, read_token
from zeus_ray.carbon.series import Series
from zeus_ray.quantity_format import DAY_S

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
        headers = {"auth-token": read_token(ELECTRICITYMAPS_TOKEN)}
        with JsonApi(self.base_url, self.zone, headers) as api:

            def get(path: str, key: str, **query: str) -> list[Any]:
                return api.rows(api.get(f"/v3/carbon-intensity/{path}", {"zone": self.zone, **query}), key)

            history = get("history", "history")
            if any(
                isinstance(row, dict) and row.get("estimationMethod") == SANDBOX_METHOD for row in history
            ):
                raise RequestRefused(
                    f"{ELECTRICITYMAPS_TOKEN} is a sandbox token, whose values are invented", RETRY_REFUSED_S
                )
            for start, end in split_range(since_s, now_s - DAY_S, 9 * DAY_S):
                older = none_if_refused(get, "past-range", "data", start=start, end=end)
                if older is None:
                    break
                history += older
            forecast = none_if_refused(get, "forecast", "forecast", horizonHours="48")

            def value(row: Any) -> Any:  # noqa: ANN401 — JSON
                return row["carbonIntensity"]

            return api.series(history, "datetime", value), api.series(forecast, "datetime", value)
