"""From readings to the numbers of a report: cost (Eq. 2), epochs, target, what all attempts used."""

from __future__ import annotations

import math

from zeus_ray.decide import cost as costs
from zeus_ray.devices.lease import Reading
from zeus_ray.records import GRAMS, NAN, Measurement, Plan, Report
from zeus_ray.run.boards import Boards
from zeus_ray.run.ledger import Ledger


class Account:
    """Keeps one run's books. Energy in J over all boards and attempts, time in s, cost in J-equivalents."""

    def __init__(self, plan: Plan, boards: Boards, ledger: Ledger) -> None:
        self.metric = NAN
        self.cost_to_target = NAN
        self.samples_per_epoch: int | None = None
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

    def epochs(self, samples: int) -> float:
        """Samples seen over samples per epoch; NaN while an epoch's length is not known."""
        if not self.samples_per_epoch:
            return NAN
        return samples / self.samples_per_epoch

    def observe(self, metric: float, reading: Reading) -> bool:
        """Take a metric value in. Returns whether the target has been reached, now or before."""
        target = self._plan.target
        if target is not None:
            self.metric = target.better(self.metric, metric)
            if math.isnan(self.cost_to_target) and target.reached(metric):
                self.cost_to_target = self.cost(reading)
        return not math.isnan(self.cost_to_target)

    def report(self, reading: Reading, *, epochs: float, stop: str, profile: str) -> Report:
        """Everything a result carries, and the ledger brought up to date."""
        used = self.measured(reading)
        self._ledger.write(Measurement(energy_j=reading.energy_j, time_s=reading.time_s), reading.carbon_g)
        priced = self._ledger.before_g + reading.carbon_g
        money = self._plan.footprint is not None and self._plan.footprint.unit != GRAMS
        return Report(
            run_id=self._plan.knobs.run_id,
            batch_size=self._plan.knobs.batch_size,
            epochs=epochs,
            energy_j=used.energy_j,
            energy_j_err=reading.energy_j_err,
            time_s=used.time_s,
            average_power_w=used.energy_j / used.time_s if used.time_s > 0 else NAN,
            power_limit_w=reading.power_limit_w,
            cost=self.cost(reading),
            carbon_g=NAN if money else priced,
            price=priced if money else NAN,
            cost_to_target=self.cost_to_target,
            target_reached=not math.isnan(self.cost_to_target),
            stop_reason=stop,
            gpu=self._boards.gpu,
            shared=reading.shared,
            attempt=self._ledger.attempt,
            measured_by=self._boards.measured_by.value,
            profile=profile,
        )
