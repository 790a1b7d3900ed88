"""What a search has spent, and when it had found something good."""

from __future__ import annotations

import math
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from recurrences import Workload

from rivals.columns import AT_ONCE, ETA

NEAR = 1.05


class Tally(tune.Callback):
    """Adds up joules and cost of all trials, result by result.

    ``found``: what had been spent when a run at knobs within 5 % of the optimum had reached the target.
    """

    def __init__(self, work: Workload, clock: Any) -> None:
        self._work, self._clock = work, clock
        self._optimum = work.optimum(ETA)
        self._used: dict[str, tuple[float, float]] = {}
        self._reached: list[tuple[float, float]] = []
        self.found = (math.nan, math.nan)

    def on_step_end(self, *, iteration: int, trials: list[Any], **_others: Any) -> None:  # noqa: ARG002
        """The trials that run, and those that need not wait for room, are on the clock."""
        unfinished = [trial for trial in trials if not trial.is_finished()]
        unfinished.sort(key=lambda trial: trial.status != Trial.RUNNING)  # stable: then in their order
        ray.get(self._clock.step.remote([trial.trial_id for trial in unfinished[:AT_ONCE]]))

    def on_trial_complete(self, *, trial: Any, **_others: Any) -> None:
        """Off the clock."""
        ray.get(self._clock.end.remote(trial.trial_id))

    def on_trial_error(self, *, trial: Any, **_others: Any) -> None:
        """Off the clock."""
        ray.get(self._clock.end.remote(trial.trial_id))

    def on_trial_result(self, *, trial: Any, result: dict[str, Any], **_others: Any) -> None:
        """Tune hands over a result."""
        self._used[trial.trial_id] = (result["zeus/energy_j"], result["zeus/cost"])
        if not result["zeus/target_reached"]:
            return
        quality = self.quality(result["zeus/batch_size"], result["zeus/power_limit_w"])
        self._reached.append((result["zeus/cost_to_target"], quality))
        if quality <= NEAR and math.isnan(self.found[0]):
            self.found = self.spent()

    def spent(self) -> tuple[float, float]:
        """(J, cost) so far."""
        energies, costs = zip(*self._used.values(), strict=True)
        return math.fsum(energies), math.fsum(costs)

    def quality(self, batch_size: int, limit_w: float | None) -> float:
        """Mean recorded cost of knobs over the optimum's."""
        limit_w = self._work.limits_w[0] if limit_w is None else limit_w
        return self._work.mean_cost(batch_size, limit_w, ETA) / self._optimum

    def cheapest(self) -> float:
        """Quality of the answer of a search that says none: the knobs of its cheapest run."""
        return min(self._reached)[1] if self._reached else math.inf

    @property
    def trials(self) -> int:
        """How many reported."""
        return len(self._used)
