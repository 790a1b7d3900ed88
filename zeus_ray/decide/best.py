"""The knobs to use now, and what one run with them should take."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from zeus_ray.decide import power
from zeus_ray.decide.job import Job, Run
from zeus_ray.objective import cost
from zeus_ray.records import NAN, Best, Estimate, StopReason

Z90 = 1.645
OURS = (StopReason.NOT_WORTH_IT, StopReason.PROFILED)
"""Ends that were our choice: the batch size did not fail."""
PRIOR_SPREAD = 0.2
"""Relative spread from run to run where no batch size has run twice: wider than most jobs show."""


def best(job: Job, eta: float) -> Best:
    """The batch size and limit with the least expected cost at ``eta``; the default where nothing reached.

    Epochs do not depend on eta or on the limit (Eq. 5), so a search at one eta answers for all:
    expected epochs of a batch size × the cheapest epoch of its profile.
    """
    runs = [run for run in job.runs if run.reached and run.batch_size in job.sizes]
    sizes = sorted({run.batch_size for run in runs})
    if not sizes:
        nothing = Estimate(mean=NAN, low=NAN, high=NAN)
        return Best(
            batch_size=job.settings.default_batch_size,
            power_limit_w=None,
            cost=nothing,
            energy_j=nothing,
            time_s=nothing,
        )
    spread = _spread(runs)
    by_size = {size: [run for run in runs if run.batch_size == size] for size in sizes}
    answers = [(_answer(job, eta, size, of, spread), len(of)) for size, of in by_size.items()]
    # Of batch sizes that ran once, the luckiest looks best: each is taken at a standard error above its mean.
    return min(
        answers, key=lambda answer: _last(answer[0].cost.mean) * math.exp(spread / math.sqrt(answer[1]))
    )[0]


def _answer(job: Job, eta: float, size: int, runs: list[Run], spread: float) -> Best:
    limit_w, energy_j, time_s = _expected(job, eta, size, runs)
    failed = sum(1 for run in job.runs if run.batch_size == size and not run.reached and run.stop not in OURS)
    retried = (len(runs) + failed) / len(runs)
    mean = cost(energy_j, time_s, eta=eta, max_power_w=job.max_power_w, gpus=job.settings.gpus) * retried
    width = math.exp(Z90 * spread * math.sqrt(1 + 1 / len(runs)))
    return Best(
        batch_size=size,
        power_limit_w=limit_w,
        cost=_interval(mean, width),
        energy_j=_interval(energy_j, width),
        time_s=_interval(time_s, width),
    )


def _expected(job: Job, eta: float, size: int, runs: list[Run]) -> tuple[float | None, float, float]:
    """Limit (W), energy (J) and time (s) to the target: from the profile, else as measured."""
    profile = job.profiles.get(size)
    epochs = _mean(run.epochs for run in runs)
    stopped = (r.epochs for r in job.runs if r.batch_size == size and r.stop == StopReason.NOT_WORTH_IT)
    # A run we stopped would have taken longer than it had, and no less than the others.
    epochs = _mean([*(run.epochs for run in runs), *(max(epochs, told) for told in stopped)])
    if profile is None or math.isnan(epochs):
        return None, _mean(run.energy_j for run in runs), _mean(run.time_s for run in runs)
    limit_w = power.optimal_limit_w(profile, eta=eta, max_power_w=job.max_power_w, gpus=job.settings.gpus)
    _limit, power_w, epoch_s = power.point_at(profile, limit_w)
    return limit_w, epochs * epoch_s * power_w * job.settings.gpus, epochs * epoch_s


def _spread(runs: list[Run]) -> float:
    """Standard deviation of log epochs from run to run, pooled over batch sizes."""
    squares, freedom = 0.0, 0
    for size in {run.batch_size for run in runs}:
        epochs = [run.epochs for run in runs if run.batch_size == size and run.epochs > 0]
        if len(epochs) > 1:
            logs = np.log(epochs)
            squares += float(((logs - logs.mean()) ** 2).sum())
            freedom += len(epochs) - 1
    return math.sqrt((squares + PRIOR_SPREAD**2) / (freedom + 1))


def _mean(numbers: Iterable[float]) -> float:
    known = [number for number in numbers if not math.isnan(number)]
    return sum(known) / len(known) if known else NAN


def _interval(mean: float, width: float) -> Estimate:
    return Estimate(mean=mean, low=mean / width, high=mean * width)


def _last(number: float) -> float:
    return math.inf if math.isnan(number) else number
