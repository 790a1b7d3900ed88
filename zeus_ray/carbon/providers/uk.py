"""Great Britain: api.carbonintensity.org.uk, as documented in 2026."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from zeus_ray.carbon.http_client import JsonApi, split_range, utc_minute
from zeus_ray.carbon.providers.provider import Provider
from zeus_ray.carbon.series import Series
from zeus_ray.quantity_format import DAY_S


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
        with JsonApi(self.base_url, self.zone) as api:

            def get(path: str) -> list[Any]:
                return api.rows(api.get(f"/intensity/{path}"), "data")

            pieces = split_range(since_s, now_s, 13 * DAY_S)
            history = [row for start, end in pieces for row in get(f"{start}/{end}")]
            forecast = get(f"{utc_minute(now_s)}/fw48h")
            return (
                api.series(history, "from", lambda row: row["intensity"]["actual"]),
                api.series(forecast, "from", lambda row: row["intensity"]["forecast"]),
            )
