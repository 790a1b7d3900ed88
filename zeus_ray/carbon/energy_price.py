"""What a search is to save: energy, carbon, money, or energy and time at prices of one's own.

For :class:`ZeusSearcher` and for a job that recurs; nothing here needs Ray.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zeus_ray.carbon.forecasts.baseline_forecasts import LOOK_BACK_S
from zeus_ray.carbon.series import J_PER_KWH, Signal
from zeus_ray.carbon.signal import GRAMS, open_signal
from zeus_ray.errors import BadInput
from zeus_ray.records import EmissionsConfig

HOUR_S = 3600.0
OBJECTIVES = ("energy", "carbon", "price")
DEFAULT_ETA = 0.5


@dataclass(frozen=True)
class Prices:
    """A kilowatt-hour costs ``energy`` and an hour of waiting ``time``, in any one currency.

    Raises:
        BadInput: a price below zero or no number, or both zero.
    """

    energy: float
    time: float

    def __post_init__(self) -> None:
        """Refuse prices that leave nothing to save."""
        if not (0 <= self.energy < math.inf and 0 <= self.time < math.inf and self.energy + self.time > 0):
            raise BadInput(
                f"Prices(energy={self.energy!r}, time={self.time!r}); allowed: prices per kWh and per hour, "
                "0 or more, not both 0"
            )

    def eta(self, max_power_w: float, gpus: int) -> float:
        """The eta of Eq. 2 that decides alike: η·E + (1−η)·MAXPOWER·T is the money, up to a factor."""
        joule, second = self.energy / J_PER_KWH, self.time / HOUR_S
        return joule / (joule + second / (max_power_w * gpus))


@dataclass(frozen=True)
class PricedObjective:
    """Says what a joule costs now. ``signal=None``: always the same.

    Learning stays in joules and seconds, so that nothing is learned wrongly from a clean night.
    ``footprint`` prices a run's energy; None where its process could not open the signal.
    """

    signal: Signal | None = None
    footprint: EmissionsConfig | None = None
    clock: Callable[[], float] = time.time

    def energy_price(self) -> float:
        """What a joule costs now, in multiples of the last four weeks' mean; 1 where nobody knows."""
        if self.signal is None:
            return 1.0
        now_s = self.clock()
        past = self.signal.history(now_s - LOOK_BACK_S, now_s).values
        known = past[np.isfinite(past)]
        mean, value = float(known.mean()) if len(known) else math.nan, self.signal.at(now_s)
        return value / mean if mean > 0 and math.isfinite(value) else 1.0


def resolve_objective(
    objective: str | Prices,
    signal: Signal | str | None,
    *,
    eta: float | None,
    max_power_w: float | None,
    gpus: int,
) -> tuple[PricedObjective, float]:
    """The objective and its eta, from a user's arguments.

    Raises:
        BadInput: an objective that is none, a signal that is missing or of the other kind, an eta or
            a maximum power that a mix cannot do with or without.
    """
    footprint = None
    if isinstance(signal, str):
        text, signal = signal, open_signal(signal)
        footprint = EmissionsConfig(signal=text, unit=signal.unit)
    if isinstance(objective, Prices):
        if eta is not None or signal is not None:
            raise BadInput("a Prices says what energy and time cost: give neither eta nor signal with it")
        if max_power_w is None:
            raise BadInput(
                "a Prices needs max_power_w, the boards' maximum power limit (W per GPU), to compare by"
            )
        return PricedObjective(), objective.eta(max_power_w, gpus)
    if objective not in OBJECTIVES:
        allowed = ", ".join(map(repr, OBJECTIVES))
        raise BadInput(f"objective is {objective!r}; allowed: {allowed}, or Prices(energy=…, time=…)")
    if objective == "energy" and signal is not None:
        raise BadInput("signal is given, but objective is 'energy'; say objective='carbon' or 'price'")
    if objective != "energy":
        _check_signal(objective, signal)
    return PricedObjective(signal, footprint), DEFAULT_ETA if eta is None else eta


def _check_signal(objective: str, signal: Signal | None) -> None:
    if signal is None:
        raise BadInput(f"objective is {objective!r}, which needs a signal, such as signal='uk' or 'csv:PATH'")
    if (signal.unit == GRAMS) != (objective == "carbon"):
        needed = GRAMS if objective == "carbon" else "money per kWh, such as 'csv:PATH?unit=EUR/kWh'"
        raise BadInput(f"objective is {objective!r}, but the signal is in {signal.unit}; needed: {needed}")
