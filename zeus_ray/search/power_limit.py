"""From a power profile to a power limit: Eq. 7 of Zeus (NSDI'23), and other ways to choose.

Epochs to target do not depend on the power limit, so the best limit of a batch size is the one with
the cheapest epoch, and a few seconds of measurement find it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from zeus_ray.errors import BadInput
from zeus_ray.objective import cost_rate_w
from zeus_ray.records import NAN, PowerProfile, ProfilePoint

EQUAL_SHARE = 0.001
"""Costs and energies of two limits that differ by less than this share are equal."""

Selector = Callable[[PowerProfile], float]
"""A rule that picks a power limit (W) from a profile."""


def measured_points(profile: PowerProfile) -> list[ProfilePoint]:
    """The usable points by rising limit: limit and time must be positive and finite, power not infinite."""
    points = (ProfilePoint(*map(float, point)) for point in profile.points)
    usable = (
        p
        for p in points
        if _positive(p.power_limit_w) and _positive(p.time_per_epoch_s) and not math.isinf(p.average_power_w)
    )
    return sorted(usable, key=lambda p: p.power_limit_w)


def point_at(profile: PowerProfile, limit_w: float) -> ProfilePoint:
    """Power and time at ``limit_w``: measured, interpolated, or NaN outside the measured range."""
    points = measured_points(profile)
    if not points or not points[0].power_limit_w <= limit_w <= points[-1].power_limit_w:
        return ProfilePoint(limit_w, NAN, NAN)
    limits = [p.power_limit_w for p in points]
    power_w = float(np.interp(limit_w, limits, [p.average_power_w for p in points]))
    time_s = float(np.interp(limit_w, limits, [p.time_per_epoch_s for p in points]))
    return ProfilePoint(limit_w, power_w, time_s)


def point_cost(point: ProfilePoint, *, eta: float, max_power_w: float | None, gpus: int = 1) -> float:
    """Cost (J) of one epoch at a point; by time alone where the power is NaN."""
    rate_w = cost_rate_w(point.average_power_w, eta=eta, max_power_w=max_power_w, gpus=gpus)
    return point.time_per_epoch_s * rate_w


def epoch_cost(
    profile: PowerProfile, limit_w: float, eta: float, gpus: int = 1, max_power_w: float | None = None
) -> float:
    """Cost (J) of one epoch at ``limit_w`` (Eq. 5); NaN outside the measured limits."""
    ceiling_w = profile.max_power_w if max_power_w is None else max_power_w
    return point_cost(point_at(profile, limit_w), eta=eta, max_power_w=ceiling_w, gpus=gpus)


def optimal_limit_w(
    profile: PowerProfile,
    *,
    eta: float,
    max_power_w: float | None = None,
    gpus: int = 1,
    max_slowdown: float | None = None,
) -> float:
    """The measured limit (W) with the cheapest epoch, Eq. 7; of equals the highest.

    Limits above what a run draws never bind: their costs and energies are equal but for noise, below 0.1 %.

    Args:
        profile: what was measured.
        eta: 1 for energy alone, 0 for time alone.
        max_power_w: MAXPOWER (W per GPU); None for the profile's own.
        gpus: GPUs of one run.
        max_slowdown: only limits at most this many times as slow as the fastest one are considered.

    Raises:
        BadInput: the profile has no usable point.
    """
    ceiling_w = profile.max_power_w if max_power_w is None else max_power_w
    price = partial(point_cost, eta=eta, max_power_w=ceiling_w, gpus=gpus)
    slowdown = math.inf if max_slowdown is None else max_slowdown
    points = {point.power_limit_w: point for point in measured_points(profile)}
    best = points[_cheapest(profile, price, slowdown)]
    equal = (
        p for p in points.values() if _equal(price(p), price(best)) and _equal(_energy_j(p), _energy_j(best))
    )
    return max((point.power_limit_w for point in equal), default=best.power_limit_w)


def by_cost(eta: float, *, gpus: int = 1) -> Selector:
    """Choose by cost: eta = 1 for energy alone, 0 for time alone."""
    return partial(optimal_limit_w, eta=eta, gpus=gpus)


def by_energy(profile: PowerProfile) -> float:
    """Choose the limit with the least energy per epoch."""
    return _cheapest(profile, _energy_j)


def by_time(profile: PowerProfile) -> float:
    """Choose the limit with the fastest epoch; of equals the lower limit."""
    return _cheapest(profile, lambda point: point.time_per_epoch_s)


def by_max_slowdown(factor: float) -> Selector:
    """Choose the least energy among limits at most ``factor`` times as slow as the fastest.

    Raises:
        BadInput: ``factor`` below 1.
    """
    if not factor >= 1:
        raise BadInput(f"slowdown factor is {factor}; allowed: 1 (none) or more")
    return partial(_cheapest, price=_energy_j, max_slowdown=factor)


@dataclass(frozen=True, kw_only=True)
class LimitAdvice:
    """The best limit (W) against the one in force: shares of energy and time saved; negative is more."""

    limit_w: float
    against_w: float
    energy_share: float
    time_share: float


def within_slowdown(profile: PowerProfile, max_slowdown: float) -> PowerProfile:
    """``profile`` without the limits that are more than ``max_slowdown`` times as slow as the fastest."""
    points = measured_points(profile)
    slowest_s = max_slowdown * min((point.time_per_epoch_s for point in points), default=0.0)
    kept = tuple(point for point in points if point.time_per_epoch_s <= slowest_s)
    return replace(profile, points=kept)


def advise(
    profile: PowerProfile,
    in_force_w: float,
    *,
    eta: float,
    max_power_w: float | None,
    gpus: int,
    max_slowdown: float | None = None,
) -> LimitAdvice | None:
    """Compare the cheapest limit of ``profile`` (Eq. 7) with ``in_force_w``; None if it has no usable point.

    A limit in force outside the measured range counts as the nearest measured one.
    """
    points = measured_points(profile)
    if not points:
        return None
    against_w = min(max(in_force_w, points[0].power_limit_w), points[-1].power_limit_w)
    limit_w = optimal_limit_w(profile, eta=eta, max_power_w=max_power_w, gpus=gpus, max_slowdown=max_slowdown)
    best, now = point_at(profile, limit_w), point_at(profile, against_w)
    return LimitAdvice(
        limit_w=limit_w,
        against_w=against_w,
        energy_share=1 - _energy_j(best) / _energy_j(now),
        time_share=1 - best.time_per_epoch_s / now.time_per_epoch_s,
    )


def _equal(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=EQUAL_SHARE)


def _energy_j(point: ProfilePoint) -> float:
    return point.average_power_w * point.time_per_epoch_s


def _cheapest(
    profile: PowerProfile, price: Callable[[ProfilePoint], float], max_slowdown: float = math.inf
) -> float:
    points = measured_points(within_slowdown(profile, max_slowdown))
    if not points:
        raise BadInput(
            f"the profile of batch size {profile.batch_size} has no usable point: {profile.points}"
        )
    # NaN (power not measured) loses against any number; all NaN: the lowest limit would be a guess.
    known = [p for p in points if not math.isnan(price(p))]
    return (min(known, key=price) if known else points[-1]).power_limit_w


def _positive(number: float) -> bool:
    return math.isfinite(number) and number > 0
