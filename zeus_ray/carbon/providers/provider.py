"""What every provider of carbon intensity or price has in common.

A credential is read from the environment when a request is made and stored in no object, so that none can
be logged, cached or pickled.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from zeus_ray.carbon.series import Series
from zeus_ray.errors import BadInput
from zeus_ray.records import GRAMS


@dataclass(frozen=True)
class Provider(ABC):
    """A web API, asked for one zone. A subclass is a frozen dataclass, too.

    Attributes:
        zone: the part of the grid, as the provider names it.
        base_url: where the API is; another one in tests.
        name: the provider's name in a signal's text.
        spec: how to write a signal of this provider, such as "electricitymaps:ZONE".
        description: one line for help.
        zones: which zones there are, for messages.
        zone_pattern: regular expression of the zones that are possible.
        unit: unit of the values, as in :class:`~zeus_ray.carbon.series.Signal`.
        kind: "average" or "marginal" intensity.
    """

    zone: str = ""
    base_url: str = ""

    name: ClassVar[str]
    spec: ClassVar[str]
    description: ClassVar[str]
    zones: ClassVar[str]
    zone_pattern: ClassVar[str] = ".+"
    unit: ClassVar[str] = GRAMS
    kind: ClassVar[str] = "average"

    def check_zone(self) -> None:
        """Raise BadInput if there can be no such zone."""
        if not re.fullmatch(self.zone_pattern, self.zone):
            raise BadInput(f"zone of {self.name} is {self.zone!r}; allowed: {self.zones}")

    def missing_credentials(self) -> str:
        """Which environment variables are missing, and where to get their values; "" if none is."""
        return ""

    @abstractmethod
    def fetch(self, since_s: float, now_s: float) -> tuple[Series | None, Series | None]:
        """See :class:`~zeus_ray.carbon.fetched_signal.SignalSource`."""


def read_secret(name: str) -> str:
    """The environment variable as it is now; "" if it is not set."""
    return os.environ.get(name, "").strip()


def read_token(name: str) -> str:
    """As :func:`read_secret`; "" also for text that an HTTP header cannot carry."""
    text = read_secret(name)
    return text if text.isprintable() and text.isascii() else ""
