"""Great Britain: api.carbonintensity.org.uk, as documented in 2026."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from zeus_ray.carbon.http_client import (
    get_json,
    get_list,
    open_client,
    series_of_rows,
    split_range,
    utc_minute,
)
from zeus_ray.carbon.providers.provider import Provider
from zeus_ray.carbon.series import Series
from zeus_ray.units import DAY_S


@dataclass(frozen=True)
class Uk(Provider):
    """Average intensity of Great Britain, half-hourly, with a forecast of 48 hours. No key."""

    zone: str = "GB"
    base_url: str = "https://api.carbonintensity.org.uk"

    name: ClassVar[str] = "uk"
    spec: ClassVar[str] = "uk"
    description: ClassVar[str] = "Great Britain; no key"
    zones: ClassVar[str] = "GB, the only one (write just uk)"
    zone_pattern: ClassVar[str] = "GB"

    def fetch(self, since_s: float, now_s: float) -> tuple[Series | None, Series | None]:
        """See :class:`Provider`. One request takes at most 14 days."""
        with open_client(self.base_url) as client:

            def get(path: str) -> list[Any]:
                return get_list(
                    get_json(client, f"/intensity/{path}", zone=self.zone), "data", zone=self.zone
                )

            history = [
                row
                for first_s, last_s in split_range(since_s, now_s, 13 * DAY_S)
                for row in get(f"{utc_minute(first_s)}/{utc_minute(last_s)}")
            ]
            forecast = get(f"{utc_minute(now_s)}/fw48h")
        return (
            series_of_rows(history, "from", lambda row: row["intensity"]["actual"], zone=self.zone),
            series_of_rows(forecast, "from", lambda row: row["intensity"]["forecast"], zone=self.zone),
        )
