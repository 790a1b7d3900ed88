"""What a training run costs (Equations 1 to 3 of Zeus; You, Chung, Chowdhury, NSDI'23), and when it ends.

Cost is in joules: eta weighs the energy drawn against the energy that the GPUs would have drawn at
full power in the same time, so that eta = 1 minimises energy alone and eta = 0 time alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import HOUR_S, J_PER_KWH
from zeus_ray.records import NAN, StopReason

FALLBACK_MAX_POWER_W = 300.0
"""MAXPOWER where it is unknown: typical of a data-centre GPU. It only sets the exchange rate between
joules and seconds; eta = 0 and eta = 1 do not depend on it."""

DEFAULT_ETA = 0.5


def max_power_or_fallback_w(max_power_w: float | None) -> float:
    """``max_power_w`` (W per GPU), or the fallback if it is None, NaN or not positive."""
    known = max_power_w is not None and math.isfinite(max_power_w) and max_power_w > 0
    return float(max_power_w) if known and max_power_w is not None else FALLBACK_MAX_POWER_W


def cost(
    energy_j: float, time_s: float, *, eta: float, max_power_w: float | None = None, gpus: int = 1
) -> float:
    """Cost (J) of ``energy_j`` over all GPUs and ``time_s`` of wall time; Eq. 2: η·E + (1−η)·MAXPOWER·T.

    With several GPUs energy is summed, time is the slowest GPU's, MAXPOWER counts once per GPU.
    Where energy is unknown (NaN) the cost is MAXPOWER·T, whatever eta is; where time is unknown it is NaN.
    """
    time_cost = max_power_or_fallback_w(max_power_w) * gpus * time_s
    if math.isnan(energy_j):
        return time_cost
    return eta * energy_j + (1 - eta) * time_cost


def eta_or_default(eta: float | None, max_slowdown: float | None) -> float:
    """The weight of energy that a user's arguments mean: 0.5, or 1 where only the time is bounded.

    Args:
        eta: as given; None: not given.
        max_slowdown: how many times as slow as the fastest a power limit may be; None: any.

    Raises:
        BadInput: eta outside 0 to 1, or max_slowdown below 1.
    """
    if max_slowdown is not None and not 1 <= max_slowdown < math.inf:
        raise BadInput(f"max_slowdown is {max_slowdown!r}; allowed: 1 (no slower) or more, or None")
    if eta is None:
        return DEFAULT_ETA if max_slowdown is None else 1.0
    if not 0 <= eta <= 1:
        raise BadInput(f"eta is {eta!r}; allowed: 0 (time alone) to 1 (energy alone)")
    return eta


def eta_at(eta: float, energy_price: float) -> float:
    """The eta that gives the same decisions when a joule costs ``energy_price`` times its long-run mean.

    η·price·E + (1−η)·MAXPOWER·T is least where η'·E + (1−η')·MAXPOWER·T is, with
    η' = η·price / (η·price + 1−η). With energy at no or negative cost, η' = 0.
    """
    if not math.isfinite(energy_price):
        return eta
    weight = eta * max(0.0, energy_price)
    return weight / (weight + 1 - eta) if weight > 0 else 0.0


def cost_rate_w(power_w: float, *, eta: float, max_power_w: float | None, gpus: int = 1) -> float:
    """Cost per second (W) at an average power per GPU: Eq. 3, inside the brackets."""
    return cost(power_w * gpus, 1.0, eta=eta, max_power_w=max_power_w, gpus=gpus)


def stop_reason(
    *,
    reached: bool = False,
    epochs: float = NAN,
    max_epochs: float = math.inf,
    cost: float = NAN,
    cost_cap: float = math.inf,
) -> StopReason | None:
    """Why a run ends by its target and limits, or None: the one rule for driver and trial.

    Args:
        reached: whether the target is reached.
        epochs: epochs trained.
        max_epochs: the run ends after so many.
        cost: cost so far (J, Eq. 2).
        cost_cap: the run ends at this cost (J); 0 for a run that only measures a power profile.

    NaN ends nothing. Of several reasons the first in the order of the arguments counts.
    """
    if reached:
        return StopReason.TARGET_REACHED
    if epochs >= max_epochs:
        return StopReason.MAX_EPOCHS
    if cost >= cost_cap:
        return StopReason.COST_CAP if cost_cap > 0 else StopReason.PROFILED
    return None


@dataclass(frozen=True)
class Prices:
    """The price of a kilowatt-hour and of an hour until the model is trained, in any one currency.

    Raises:
        BadInput: a price that is below zero or not a number, or both are zero.
    """

    energy: float
    time: float

    def __post_init__(self) -> None:
        """Check both prices."""
        if not (0 <= self.energy < math.inf and 0 <= self.time < math.inf and self.energy + self.time > 0):
            raise BadInput(
                f"Prices(energy={self.energy!r}, time={self.time!r}); allowed: prices per kWh and per hour, "
                "0 or more, not both 0"
            )

    def eta(self, max_power_w: float, gpus: int) -> float:
        """The eta with which Eq. 2, η·E + (1−η)·MAXPOWER·T, is proportional to the price of a run."""
        joule, second = self.energy / J_PER_KWH, self.time / HOUR_S
        return joule / (joule + second / (max_power_w * gpus))
