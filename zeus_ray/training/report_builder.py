"""From readings to the numbers of a report: cost (Eq. 2), target, and what all attempts of the trial used."""

from __future__ import annotations

import math
from collections.abc import Sequence

from zeus_ray import objective
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.records import NAN, Plan, PowerProfile, StopReason, TrialReport, to_json
from zeus_ray.training.leased_gpu_group import GpuGroup
from zeus_ray.training.lr_scaling_and_warm_up import ScaledLr
from zeus_ray.training.online_limit.controller_settings_and_state import UnitPoint
from zeus_ray.training.report_per_work_unit import UnitReport
from zeus_ray.training.samples_and_time import RunClock
from zeus_ray.training.savings_if_limit_were_set import savings_estimate
from zeus_ray.training.usage_of_earlier_attempts import AttemptLog, AttemptUsage


class ReportBuilder:
    """Builds the reports of one run, and writes its attempt log.

    Args:
        plan: the run's plan.
        group: its GPUs.
        clock: its progress.
        attempts: the attempts of its trial.

    Attributes:
        max_power_w: MAXPOWER of Eq. 2 (W per GPU); None: neither the plan nor a GPU says.
        moved_from: the kind of GPU of the attempt before, where it was another; "" otherwise.
        cost_to_target: the cost at the first report that reached the target; NaN until then.
    """

    def __init__(self, plan: Plan, group: GpuGroup, clock: RunClock, attempts: AttemptLog) -> None:
        limits = group.range
        self.max_power_w = plan.max_power_w or (limits.max_w if limits else None)
        self.moved_from = "" if attempts.gpu in ("", group.gpu) else attempts.gpu
        self.cost_to_target = NAN
        self._plan = plan
        self._group = group
        self._clock = clock
        self._attempts = attempts

    @property
    def _gpus(self) -> int:
        return max(1, len(self._group))

    def used(self, reading: Reading) -> AttemptUsage:
        """What all attempts had used at ``reading``."""
        return self._attempts.before.plus(AttemptUsage.of(reading))

    def cost(self, reading: Reading) -> float:
        """Cost (J) of all attempts at ``reading``."""
        used = self.used(reading)
        return objective.cost(
            used.energy_j, used.time_s, eta=self._plan.eta, max_power_w=self.max_power_w, gpus=self._gpus
        )

    @property
    def target_reached(self) -> bool:
        """Whether a report has reached the target."""
        return not math.isnan(self.cost_to_target)

    def record_metric(self, metric: float, reading: Reading) -> None:
        """Note what the target has cost, if ``metric`` is the first to reach it."""
        if self._plan.target is not None and not self.target_reached and self._plan.target.reached(metric):
            self.cost_to_target = self.cost(reading)

    def advice(self, reading: Reading) -> str:
        """Where no limit may be set: what one would have saved, by a recorded profile; "" elsewhere."""
        if self._group.may_set or not len(self._group):
            return ""
        return savings_estimate(
            self._plan,
            self._group.gpu,
            max_power_w=self.max_power_w,
            gpus=self._gpus,
            energy_j=self.used(reading).energy_j,
            limit_w=reading.power_limit_w,
        )

    def log(
        self, reading: Reading, profile: PowerProfile | None, unit_profile: Sequence[UnitPoint] = ()
    ) -> None:
        """Replace this attempt's entry in the attempt log.

        Args:
            reading: what was used.
            profile: what is measured of the profile, for an epoch.
            unit_profile: the same, per unit of work.
        """
        self._attempts.write(
            AttemptUsage.of(reading),
            samples=self._clock.samples_before + self._clock.samples,
            gpu=self._group.gpu,
            profile=profile,
            unit_profile=unit_profile,
            held=self._group.held,
        )

    def report(
        self,
        reading: Reading,
        *,
        stop: StopReason | None = None,
        profile: PowerProfile | None = None,
        profile_so_far: PowerProfile | None = None,
        per_unit: UnitReport | None = None,
        scaled_lr: ScaledLr | None = None,
        windows: str = "",
    ) -> TrialReport:
        """What a result carries; see :class:`TrialReport`."""
        used = self.used(reading)
        by_unit = per_unit or UnitReport(unit="", units=NAN)
        return TrialReport(
            run_id=self._plan.knobs.run_id,
            batch_size=self._plan.knobs.batch_size,
            accumulate=self._plan.knobs.accumulate,
            epochs=self._clock.epochs,
            energy_j=used.energy_j,
            energy_j_err=reading.energy_j_err,
            time_s=used.time_s,
            average_power_w=used.energy_j / used.time_s if used.time_s > 0 else NAN,
            cpu_energy_j=used.cpu_energy_j,
            dram_energy_j=used.dram_energy_j,
            power_limit_w=reading.power_limit_w,
            cost=self.cost(reading),
            cost_to_target=self.cost_to_target,
            carbon_g=used.carbon_g,
            price=used.price,
            target_reached=self.target_reached,
            stop_reason=stop.value if stop else "",
            gpu=self._group.gpu,
            moved_from=self.moved_from,
            shared=reading.shared,
            attempt=self._attempts.attempt,
            measured_by=reading.measured_by or self._group.measured_by.value,
            profile=to_json(profile) if profile else "",
            profile_so_far=to_json(profile_so_far) if profile_so_far and not profile else "",
            lr=scaled_lr.lr if scaled_lr else NAN,
            lr_rule=scaled_lr.rule if scaled_lr else "",
            advice=self.advice(reading),
            unit=by_unit.unit,
            units=by_unit.units,
            energy_per_unit_j=by_unit.energy_per_unit_j,
            time_per_unit_s=by_unit.time_per_unit_s,
            slowdown=by_unit.slowdown,
            profiling_steps=by_unit.profiling_steps,
            profiling_extra_s=by_unit.profiling_extra_s,
            unit_profile=to_json(by_unit.unit_profile) if per_unit else "",
            windows=windows,
        )
