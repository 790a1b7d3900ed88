"""What a report says per step, sample or token: time, energy, and what choosing the limit has cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zeus_ray.records import NAN, ProfilePoint
from zeus_ray.training.online_limit.controller_settings_and_state import UnitPoint


@dataclass(frozen=True, kw_only=True)
class UnitReport:
    """What a report says per unit of work; a number that is not known is NaN.

    Attributes:
        unit: "steps", "samples" or "tokens".
        units: work done in this attempt, over all processes.
        energy_per_unit_j: joules of this attempt over ``units``, evaluation and profiling included.
        time_per_unit_s: seconds likewise.
        unit_profile: the measured limits: W per GPU, and seconds per unit.
        profiling_steps: steps that belonged to windows of a profile.
        profiling_extra_s: seconds that these took beyond the same steps at the limit that is held.
        slowdown: time of all steps over what they would have taken at the highest limit.
    """

    unit: str
    units: float
    energy_per_unit_j: float = NAN
    time_per_unit_s: float = NAN
    unit_profile: tuple[UnitPoint, ...] = ()
    profiling_steps: int = 0
    profiling_extra_s: float = NAN
    slowdown: float = NAN


def points_per_epoch(points: Sequence[UnitPoint], units: float) -> tuple[ProfilePoint, ...]:
    """The points of a power profile, for epochs of ``units`` of work."""
    return tuple(ProfilePoint(p.power_limit_w, p.average_power_w, p.time_per_unit_s * units) for p in points)
