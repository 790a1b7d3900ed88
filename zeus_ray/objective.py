"""Equations 1 to 3 of Zeus (You, Chung, Chowdhury, NSDI'23): what a training run costs.

Cost is in joules: eta weighs the energy drawn against the energy that boards at full power would
have drawn in the same time, so that eta = 1 saves energy alone and eta = 0 time alone.
"""

from __future__ import annotations

import math

FALLBACK_MAX_POWER_W = 300.0
"""MAXPOWER where nobody knows it: of the order of a data-centre board. It only sets the exchange
rate between joules and seconds; eta = 0 and eta = 1 do not depend on it."""


def max_power_or_fallback_w(max_power_w: float | None) -> float:
    """``max_power_w`` (W per GPU), or the fallback where it is None, NaN or not positive."""
    known = max_power_w is not None and math.isfinite(max_power_w) and max_power_w > 0
    return float(max_power_w) if known and max_power_w is not None else FALLBACK_MAX_POWER_W


def cost(
    energy_j: float, time_s: float, *, eta: float, max_power_w: float | None = None, gpus: int = 1
) -> float:
    """Cost (J) of ``energy_j`` over all GPUs and ``time_s`` of wall time; Eq. 2: η·E + (1−η)·MAXPOWER·T.

    With several GPUs energy is summed, time is the slowest's, MAXPOWER counts for each.
    Energy that is not known (NaN) leaves time alone to go by: MAXPOWER·T, whatever eta is.
    Time that is not known leaves nothing to compare by: NaN.
    """
    time_cost = max_power_or_fallback_w(max_power_w) * gpus * time_s
    if math.isnan(energy_j):
        return time_cost
    return eta * energy_j + (1 - eta) * time_cost


def eta_at(eta: float, energy_price: float) -> float:
    """The eta that decides alike while a joule costs ``energy_price`` times what it does in the long run.

    η·price·E + (1−η)·MAXPOWER·T is least where η'·E + (1−η')·MAXPOWER·T is, with
    η' = η·price / (η·price + 1−η). Energy at no cost, or less, leaves time alone: η' = 0.
    """
    if not math.isfinite(energy_price):
        return eta
    weight = eta * max(0.0, energy_price)
    return weight / (weight + 1 - eta) if weight > 0 else 0.0


def cost_rate_w(power_w: float, *, eta: float, max_power_w: float | None, gpus: int = 1) -> float:
    """Cost per second (W) at an average power per GPU: Eq. 3, inside the brackets."""
    return cost(power_w * gpus, 1.0, eta=eta, max_power_w=max_power_w, gpus=gpus)
