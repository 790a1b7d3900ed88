"""From readings to the numbers of a report: cost (Eq. 2), epochs, target, what all attempts used."""

from __future__ import annotations

import math

from zeus_ray import objective as costs
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.records import GRAMS, NAN, Measurement, Plan, TrialReport
from zeus_ray.training.attempts import AttemptLog
from zeus_ray.training.gpu_group import GpuGroup


class ReportBuilder:
    """Keeps one run's books. Energy in J over all boards and attempts, time in s, cost in J-equivalents."""

    def __init__(self, plan: Plan, boards: GpuGroup, ledger: AttemptLog) -> None:
        self.metric = NAN
        self.cost_to_target = NAN
        self.samples_per_epoch: int | None = None
        self.samples_before = 0
        self.moved_from = "" if ledger.gpu in ("", boards.gpu) else ledger.gpu
        """The kind of GPU of the attempt before, where it was another."""
        self._plan = plan
        self._boards = boards
        self._ledger = ledger
        self._gpus = max(1, len(boards))
        limits = boards.range
        self._max_power_w = plan.max_power_w or (limits.max_w if limits else None)

    @property
    def max_power_w(self) -> float | None:
        """MAXPOWER of Eq. 2, per GPU."""
        return self._max_power_w

    def measured(self, reading: Reading) -> Measurement:
        """All attempts up to ``reading``."""
        return self._ledger.total(Measurement(energy_j=reading.energy_j, time_s=reading.time_s))

    def cost(self, reading: Reading) -> float:
        """Cost so far of all attempts."""
        used = self.measured(reading)
        return costs.cost(
            used.energy_j, used.time_s, eta=self._plan.eta, max_power_w=self._max_power_w, gpus=self._gpus
        )

    def go_on(self) -> None:
        """Training goes on from a checkpoint: what the attempt before trained counts for the epochs."""
        self.samples_before = self._ledger.samples

    def epochs(self, samples: int) -> float:
        """Samples seen over samples per epoch; NaN while an epoch's length is not known."""
        if not self.samples_per_epoch:
            return NAN
        return (self.samples_before + samples) / self.samples_per_epoch

    def observe(self, metric: float, reading: Reading) -> bool:
        """Take a metric value in. Returns whether the target has been reached, now or before."""
        target = self._plan.target
        if target is not None:
            self.metric = target.better(self.metric, metric)
            if math.isnan(self.cost_to_target) and target.reached(metric):
                self.cost_to_target = self.cost(reading)
        return not math.isnan(self.cost_to_target)

    def enter(self, reading: Reading, *, samples: int, profile: str) -> None:
        """Bring the ledger up to date."""
        self._ledger.write(
            Measurement(energy_j=reading.energy_j, time_s=reading.time_s),
            samples=self.samples_before + samples,
            gpu=self._boards.gpu,
            profile=profile,
            carbon_g=self._priced(reading),
        )

    @property
    def _money(self) -> bool:
        return self._plan.footprint is not None and self._plan.footprint.unit != GRAMS

    def _priced(self, reading: Reading) -> float:
        return reading.price if self._money else reading.carbon_g

    def report(self, reading: Reading, *, samples: int, stop: str, profile: str) -> TrialReport:
        """Everything a result carries."""
        used = self.measured(reading)
        priced, money = self._ledger.before_g + self._priced(reading), self._money
        return TrialReport(
            run_id=self._plan.knobs.run_id,
            batch_size=self._plan.knobs.batch_size,
            accumulate=self._plan.knobs.accumulate,
            epochs=self.epochs(samples),
            energy_j=used.energy_j,
            energy_j_err=reading.energy_j_err,
            time_s=used.time_s,
            average_power_w=used.energy_j / used.time_s if used.time_s > 0 else NAN,
            power_limit_w=reading.power_limit_w,
            cost=self.cost(reading),
            carbon_g=NAN if money or math.isnan(priced) else priced,
            price=NAN if not money or math.isnan(priced) else priced,
            cost_to_target=self.cost_to_target,
            target_reached=not math.isnan(self.cost_to_target),
            stop_reason=stop,
            gpu=self._boards.gpu,
            moved_from=self.moved_from,
            shared=reading.shared,
            attempt=self._ledger.attempt,
            measured_by=self._boards.measured_by.value,
            profile=profile,
        )
