"""The ``zeus/`` keys of a trial's results. The only file where they are spelt."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import Self

from zeus_ray.records.knobs_progress_outcome_best import NAN, MeasuredBy
from zeus_ray.records.plan_given_to_trial import RESERVED


@dataclass(frozen=True, kw_only=True)
class TrialReport:
    """What every result of a trial carries, from the first on, as flat keys ``zeus/<field>``.

    Energy, time and cost are of all GPUs of the trial, and cumulative over its attempts. A number that is
    not known is NaN, never 0; a text that is not known is "".

    Attributes:
        run_id: the search's name of the run; "" without a search.
        batch_size: samples per optimizer step, over all GPUs.
        accumulate: micro-batches per optimizer step.
        epochs: samples seen / samples per epoch; NaN until the length of an epoch is known.
        energy_j: GPU energy (J), summed over GPUs; NaN where no GPU is measured.
        energy_j_err: bound of the error of this attempt's energy (J); NaN where no GPU is measured.
        time_s: time under the leases (s), of the slowest GPU; wall time without a GPU.
        average_power_w: ``energy_j / time_s`` (W, all GPUs); NaN where either is not known.
        cpu_energy_j: energy of the CPUs of the trial's machines (J), each once, whoever used them; no part
            of ``energy_j``. NaN where a counter (RAPL) cannot be read, or the GPUs are virtual.
        dram_energy_j: energy of their memory likewise (J); NaN also where it has no counter.
        power_limit_w: the lowest power limit in force now (W per GPU); NaN without a GPU.
        cost: cost so far (J), Eq. 2 of Zeus; by time alone where ``energy_j`` is NaN.
        cost_to_target: ``cost`` at the first report that reached the target; NaN until then. Rank by this.
        carbon_g: emissions of the energy when it was used (gCO2eq); NaN without a carbon signal.
        price: what the energy cost when it was used, in the currency of the signal; NaN without a price.
        target_reached: whether this report or an earlier one of the trial reached the target.
        stop_reason: why the trial ends, a value of :class:`StopReason`; "" while it runs.
        gpu: kind of GPU, several kinds joined by " + "; "" without a GPU.
        moved_from: kind of GPU of the attempt before, if it was another; energy and time are of both then.
        shared: whether another job held one of the GPUs meanwhile; energy is this job's equal share then.
        attempt: number of this attempt, from 1.
        measured_by: where the energy comes from, a value of :class:`MeasuredBy`.
        profile: JSON of the :class:`PowerProfile` once it is complete; "" until then.
        profile_so_far: JSON of what is measured of the profile while it is not complete; "" otherwise.
        lr: learning rate that ``scale_lr`` gave; NaN where it was not called.
        lr_rule: the rule ``scale_lr`` used; "" where it was not called.
        advice: what a power limit would have saved, in one sentence, where none may be set; "" otherwise.
        unit: "steps", "samples" or "tokens" in a run that chooses its limit while it trains; "" in others.
        units: work done in this attempt, over all processes; NaN without a unit, like the next three.
        energy_per_unit_j: energy of this attempt over ``units``, evaluation and profiling included.
        time_per_unit_s: time likewise.
        slowdown: time of all steps over what they would have taken at the highest limit.
        profiling_steps: steps in windows of a power profile.
        profiling_extra_s: what these took longer (s) than at the limit that is held; NaN: not known.
        unit_profile: JSON of the limits measured: W, average W per GPU, seconds per unit; "" without a unit.
        windows: JSON of the named windows of this attempt, by name, as :class:`ReportedWindow`; "" if none.
    """

    run_id: str = ""
    batch_size: int = 0
    accumulate: int = 1
    epochs: float = NAN
    energy_j: float = NAN
    energy_j_err: float = NAN
    time_s: float = NAN
    average_power_w: float = NAN
    cpu_energy_j: float = NAN
    dram_energy_j: float = NAN
    power_limit_w: float = NAN
    cost: float = NAN
    cost_to_target: float = NAN
    carbon_g: float = NAN
    price: float = NAN
    target_reached: bool = False
    stop_reason: str = ""
    gpu: str = ""
    moved_from: str = ""
    shared: bool = False
    attempt: int = 1
    measured_by: str = MeasuredBy.NONE.value
    profile: str = ""
    profile_so_far: str = ""
    lr: float = NAN
    lr_rule: str = ""
    advice: str = ""
    unit: str = ""
    units: float = NAN
    energy_per_unit_j: float = NAN
    time_per_unit_s: float = NAN
    slowdown: float = NAN
    profiling_steps: int = 0
    profiling_extra_s: float = NAN
    unit_profile: str = ""
    windows: str = ""

    def to_result(self) -> dict[str, Any]:
        """Flat keys ``zeus/<field>``."""
        return {key: getattr(self, name) for name, key in _keys().items()}

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> Self | None:
        """Read the keys of a Ray Tune result; None if the trial was not metered by zeus-ray."""
        keys = _keys()
        if keys["measured_by"] not in result:
            return None
        return cls(**{name: result[key] for name, key in keys.items() if key in result})


@functools.cache
def _keys() -> dict[str, str]:
    """The result key of each field; a driver reads them several times per result."""
    return {field.name: result_key(field.name) for field in dataclasses.fields(TrialReport)}


def result_key(field: str) -> str:
    """The result key of a field of :class:`TrialReport`, such as ``zeus/energy_j``."""
    return f"{RESERVED}/{field}"
