"""What a trial is given as ``config["zeus"]``: its knobs, the objective, known profiles, the signal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import Self

from zeus_ray.records.power_profile import PowerProfile
from zeus_ray.records.runs import Knobs
from zeus_ray.records.serialization import from_plain, to_plain
from zeus_ray.records.target import Target

RESERVED = "zeus"
"""The one entry of a trial's config that is ours; report keys begin with ``zeus/``."""

GRAMS = "gCO2eq/kWh"
"""The unit of carbon intensity; a signal of any other is a price."""


@dataclass(frozen=True, kw_only=True)
class EmissionsConfig:
    """How a trial's energy is priced over time, and whether its power limit follows the grid.

    Args:
        signal: as :func:`zeus_ray.carbon.signal.open_signal` reads it.
        unit: the signal's: grams become ``zeus/carbon_g``, anything else is money, ``zeus/price``.
        eta: weight of carbon against time in Chase's rule; None: the limit does not follow.
        every_s: how often the limit is decided again.
        clock: (real_s, then_s, rate): at ``time.time() == real_s`` it was ``then_s`` on the grid, and
            time passes ``rate`` times as fast. The default is the true time.
    """

    signal: str
    unit: str = GRAMS
    eta: float | None = None
    every_s: float = 1800.0
    clock: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def grid_s(self, real_s: float) -> float:
        """The time on the grid (s since 1970, UTC) when ``time.time()`` says ``real_s``."""
        began_s, then_s, rate = self.clock
        return then_s + rate * (real_s - began_s)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What goes down to a trial as ``config["zeus"]``: enough to run without asking the driver again."""

    knobs: Knobs
    eta: float = 0.5
    energy_price: float = 1.0
    """What a joule costs as the run starts, in multiples of its long-run mean: it moves the limit."""
    beta: float = 2.0
    max_power_w: float | None = None
    max_epochs: float = math.inf
    target: Target | None = None
    default_batch_size: int | None = None
    gpus: int | None = None
    profiles: tuple[PowerProfile, ...] = ()
    power_control: str = "auto"
    gpu_source: str = ""
    footprint: EmissionsConfig | None = None

    def to_config(self) -> dict[str, Any]:
        """Plain JSON values, for ``config["zeus"]``."""
        return dict(to_plain(self))

    @classmethod
    def from_config(cls, raw: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_config`.

        Raises:
            BadInput: ``raw`` is not a plan.
        """
        return from_plain(cls, raw)
