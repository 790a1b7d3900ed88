"""What a power limit would have saved where none may be set, by a profile of the same kind of GPU."""

from __future__ import annotations

from dataclasses import dataclass

from zeus_ray.decide import power
from zeus_ray.records import PowerProfile


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The best limit (W) against the one in force: shares of energy and time; negative is more."""

    limit_w: float
    against_w: float
    energy_share: float
    time_share: float


def advise(
    profile: PowerProfile, in_force_w: float, *, eta: float, max_power_w: float | None, gpus: int
) -> Advice | None:
    """Compare the cheapest limit of ``profile`` (Eq. 7) with ``in_force_w``; None where it has no point.

    A limit in force outside what was measured counts as the nearest that was.
    """
    points = power.measured_points(profile)
    if not points:
        return None
    against_w = min(max(in_force_w, points[0][0]), points[-1][0])
    limit_w = power.optimal_limit_w(profile, eta=eta, max_power_w=max_power_w, gpus=gpus)
    _, power_w, time_s = power.point_at(profile, limit_w)
    _, then_w, then_s = power.point_at(profile, against_w)
    return Advice(
        limit_w=limit_w,
        against_w=against_w,
        energy_share=1 - power_w * time_s / (then_w * then_s),
        time_share=1 - time_s / then_s,
    )
