"""Work of a run in steps, samples or tokens, and what choosing its power limit has cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zeus_ray.errors import BadInput
from zeus_ray.records import NAN, ProfilePoint
from zeus_ray.records.trial_plan import REPORTED_STEPS
from zeus_ray.training.online_records import UnitPoint


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


class UnitCounter:
    """Counts work in one unit.

    Args:
        unit: "steps", "samples", "tokens" or ``REPORTED_STEPS``.
        batch_size: samples per step.
    """

    def __init__(self, unit: str, batch_size: int) -> None:
        self.unit = unit
        self.per_step = float(batch_size) if unit == "samples" else 1.0
        self.done = 0.0

    def of_step(self, samples: int, tokens: float | None) -> float | None:
        """The work of a step of ``samples``, where it is not ``per_step``; counts it.

        Args:
            samples: samples of the step, over all processes.
            tokens: its tokens, over all processes; or the steps that the output of a command adds.

        Raises:
            BadInput: tokens are to be counted, and nothing says how many the step has.
        """
        if self.unit == "tokens":
            if tokens is None:
                raise BadInput(
                    "unit is 'tokens', but nothing says how many a step has: with run.step(tokens=...), or "
                    "run.steps(loader, tokens=lambda batch: batch['input_ids'].numel())"
                )
            self.done += tokens
            return tokens
        if self.unit == REPORTED_STEPS:
            self.done += tokens or 0.0
            return tokens
        if self.unit == "samples":
            self.done += samples
            return None
        self.done += 1
        return None
