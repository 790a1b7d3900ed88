"""What a search believes now about the cost of every batch size: epoch cost × epochs to the target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zeus_ray.decide.epochs import Observation, believe, epoch_cost_family, epochs_family, noise_sd
from zeus_ray.decide.job import Job
from zeus_ray.decide.smooth import Belief
from zeus_ray.decide.value import Array

MEASURED_VAR = 0.01**2
"""A few seconds measure the cost of an epoch to about a hundredth."""
IDLE = 0.14
"""Share of its maximum power that an idle board draws (V100 32 of 250 W, A100 62 of 400, H100 90 of 700)."""


@dataclass(frozen=True)
class Outlook:
    """Beliefs by column of ``sizes``. ``noise``: standard deviation of log epochs from run to run."""

    sizes: tuple[int, ...]
    epochs: Belief
    epoch_cost: Belief
    noise: Array
    failing: Array
    """Share of runs that never reach the target, as far as seen."""

    @property
    def log_cost(self) -> Array:
        """Mean of log cost of a run."""
        return self.epochs.mean + self.epoch_cost.mean

    @property
    def var(self) -> Array:
        """Variance of log cost that more runs would remove."""
        return self.epochs.var + self.epoch_cost.var

    @property
    def cost(self) -> Array:
        """Expected cost (J) to the target, failed runs included."""
        return np.exp(self.log_cost + (self.var + self.noise**2) / 2) / (1 - self.failing)

    @property
    def weights(self) -> Array:
        """How much each departure of the epochs is believed."""
        return self.epochs.weights

    @property
    def one_epoch(self) -> Array:
        """Expected cost (J) of an epoch."""
        return np.exp(self.epoch_cost.mean + self.epoch_cost.var / 2)

    def column(self, batch_size: int) -> int | None:
        """Where a batch size is; None where it is not in the running."""
        return self.sizes.index(batch_size) if batch_size in self.sizes else None


def look(
    job: Job,
    gpu: str,
    observations: Sequence[Observation],
    *,
    sizes: tuple[int, ...],
    changed_at: int,
    failures: dict[int, int],
) -> Outlook:
    """Everything known, put together. ``sizes``: what is in the running."""
    noise = noise_sd(sizes, observations)
    epochs = believe(epochs_family(sizes), sizes, observations, noise, changed_at)
    reached: dict[int, int] = {}
    for seen in observations:
        if seen.extra_var == 0:
            reached[seen.batch_size] = reached.get(seen.batch_size, 0) + 1
    failing = [failures.get(b, 0) / (failures.get(b, 0) + reached.get(b, 0) + 1) for b in sizes]
    return Outlook(sizes, epochs, _epoch_costs(job, sizes, gpu), noise, np.array(failing))


def _epoch_costs(job: Job, sizes: tuple[int, ...], gpu: str) -> Belief:
    """From profiles on this kind of GPU; where nothing can be profiled, from what runs cost per epoch."""
    known = {i: job.epoch_cost(size, gpu) for i, size in enumerate(sizes)}
    measured = {i: cost for i, cost in known.items() if cost > 0}
    for i, cost in _cost_per_epoch(job, sizes).items():
        measured.setdefault(i, cost)
    if not measured:  # nothing has run on this kind of GPU: only proportions count, so any unit will do
        measured[0] = 1.0
    at = list(measured)
    logs = np.log([measured[i] for i in at])
    busy, at_size = _busy(job, gpu)
    return epoch_cost_family(sizes, busy, at_size).given(at, logs, np.full(len(at), MEASURED_VAR))


def _busy(job: Job, gpu: str) -> tuple[float | None, int]:
    """Share of the board in use at its highest limit, and the batch size that was seen at."""
    default = job.settings.default_batch_size
    profiles = job.profiles.of(gpu)
    if not profiles:
        return None, default
    profile = min(profiles, key=lambda p: abs(math.log2(p.batch_size / default)))
    _limit_w, power_w, _time_s = max(profile.points)
    share = (power_w / profile.max_power_w - IDLE) / (1 - IDLE)
    if not math.isfinite(share):
        return None, default
    return min(max(share, 0.05), 0.95), profile.batch_size


def _cost_per_epoch(job: Job, sizes: tuple[int, ...]) -> dict[int, float]:
    """Cost of an epoch where a batch size ran without a profile, on whatever GPU."""
    columns = {size: i for i, size in enumerate(sizes) if size in job.unprofiled}
    found: dict[int, float] = {}
    for run in job.runs if columns else ():
        cost = job.cost(run)
        if run.batch_size in columns and run.epochs > 0 and cost > 0 and math.isfinite(cost):
            found[columns[run.batch_size]] = cost / run.epochs
    return found
