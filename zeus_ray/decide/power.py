"""From a power profile to a power limit: Eq. 7 of Zeus (NSDI'23), and other ways to choose.

Epochs to target do not depend on the power limit, so the best limit of a batch size is the one
with the cheapest epoch, and a few seconds of measurement find it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from zeus_ray.errors import BadInput
from zeus_ray.objective import cost_rate_w
from zeus_ray.records import NAN, PowerProfile, ProfilePoint

Point = ProfilePoint
"""(power_limit_w, average_power_w per GPU, time_per_epoch_s)"""
Selector = Callable[[PowerProfile], float]
"""Any rule that picks a power limit (W) from a profile."""


def measured_points(profile: PowerProfile) -> list[Point]:
    """The points that can be used, by rising limit. A time that is not a positive number is dropped."""
    usable = (p for p in profile.points if _positive(p[0]) and _positive(p[2]) and not math.isinf(p[1]))
    return sorted(ProfilePoint(float(w), float(power), float(time)) for w, power, time in usable)


def point_at(profile: PowerProfile, limit_w: float) -> Point:
    """Power and time at ``limit_w``: measured, interpolated, or NaN outside what was measured."""
    points = measured_points(profile)
    if not points or not points[0][0] <= limit_w <= points[-1][0]:
        return ProfilePoint(limit_w, NAN, NAN)
    limits, powers, times = zip(*points, strict=True)
    return ProfilePoint(
        limit_w,
        float(np.interp(limit_w, limits, powers)),
        float(np.interp(limit_w, limits, times)),
    )


def point_cost(point: Point, *, eta: float, max_power_w: float | None, gpus: int = 1) -> float:
    """Cost (J) of one epoch at a point. Power that is not known leaves time alone to go by."""
    _limit_w, power_w, time_s = point
    return time_s * cost_rate_w(power_w, eta=eta, max_power_w=max_power_w, gpus=gpus)


def epoch_cost(
    profile: PowerProfile, limit_w: float, eta: float, gpus: int = 1, max_power_w: float | None = None
) -> float:
    """Cost (J) of one epoch at ``limit_w`` (Eq. 5); NaN outside the limits that were measured."""
    ceiling = profile.max_power_w if max_power_w is None else max_power_w
    return point_cost(point_at(profile, limit_w), eta=eta, max_power_w=ceiling, gpus=gpus)


def optimal_limit_w(
    profile: PowerProfile, *, eta: float, max_power_w: float | None = None, gpus: int = 1
) -> float:
    """The measured limit (W) with the cheapest epoch, Eq. 7. ``max_power_w``: None for the profile's own.

    Raises:
        BadInput: the profile has no usable point.
    """
    ceiling = profile.max_power_w if max_power_w is None else max_power_w
    return _cheapest(profile, partial(point_cost, eta=eta, max_power_w=ceiling, gpus=gpus))


def by_cost(eta: float, *, gpus: int = 1) -> Selector:
    """Choose by cost: eta = 1 for energy alone, 0 for time alone."""
    return partial(optimal_limit_w, eta=eta, gpus=gpus)


def by_energy(profile: PowerProfile) -> float:
    """Choose the limit with the least energy per epoch."""
    return _cheapest(profile, lambda point: point[1] * point[2])


def by_time(profile: PowerProfile) -> float:
    """Choose the limit with the fastest epoch; of equals the lower limit."""
    return _cheapest(profile, lambda point: point[2])


def by_max_slowdown(factor: float) -> Selector:
    """Choose the least energy among limits at most ``factor`` times as slow as the fastest.

    Raises:
        BadInput: ``factor`` below 1.
    """
    if not factor >= 1:
        raise BadInput(f"slowdown factor is {factor}; allowed: 1 (none) or more")

    def select(profile: PowerProfile) -> float:
        points = measured_points(profile)
        fastest_s = min((p[2] for p in points), default=NAN)
        near = tuple(p for p in points if p[2] <= factor * fastest_s)
        return by_energy(
            PowerProfile(
                batch_size=profile.batch_size, gpu=profile.gpu, max_power_w=profile.max_power_w, points=near
            )
        )

    return select


def _cheapest(profile: PowerProfile, price: Callable[[Point], float]) -> float:
    points = measured_points(profile)
    if not points:
        raise BadInput(
            f"the profile of batch size {profile.batch_size} has no usable point: {profile.points}"
        )
    # NaN (power not measured) loses against any number; all NaN: the lowest limit would be a guess.
    known = [p for p in points if not math.isnan(price(p))]
    return min(known, key=price)[0] if known else points[-1][0]


def _positive(number: float) -> bool:
    return math.isfinite(number) and number > 0
