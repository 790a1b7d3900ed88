"""The recommendation: the knobs to use now, and what one run with them should take."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np

from zeus_ray.objective import cost
from zeus_ray.records import LEAST_ENERGY, NAN, Best, Estimate, StopReason, TradeOff
from zeus_ray.records.knobs_progress_outcome_best import Z90
from zeus_ray.search.power_limit import point_at
from zeus_ray.search.state import CompletedRun, SearchState

NOT_FAILED = (StopReason.NOT_WORTH_IT, StopReason.PROFILED)
"""Ends that the search chose: the batch size did not fail."""
PRIOR_SPREAD = 0.15
"""Relative scatter of epochs from run to run before any batch size has run twice. Median on the recorded
learning curves 0.07, 90th percentile 0.2."""


LITTLE_SLOWER = 1.05


def trade_offs(state: SearchState) -> tuple[TradeOff, ...]:
    """What two other trade-offs would give, from the same runs; none where nothing reached the target."""
    if not state.reached_runs():
        return ()
    constrained = copy.copy(state)
    constrained.settings = dataclasses.replace(state.settings, max_slowdown=LITTLE_SLOWER)
    unconstrained = copy.copy(state)
    unconstrained.settings = dataclasses.replace(state.settings, max_slowdown=None)
    return (
        TradeOff(name=LEAST_ENERGY, best=recommend(unconstrained, 1.0)),
        TradeOff(
            name=f"least energy, at most {100 * (LITTLE_SLOWER - 1):.0f} % slower than the fastest setting",
            best=recommend(constrained, 1.0),
        ),
    )


def recommend(state: SearchState, eta: float) -> Best:
    """The batch size and limit with the least expected cost at ``eta``; the default where nothing reached.

    Epochs depend neither on eta nor on the limit (Eq. 5), so one search answers for every eta: expected
    epochs of a batch size × the cheapest epoch of its profile. With ``max_slowdown``, answers slower than
    that many times the fastest one are left out.

    Args:
        state: what the search was told.
        eta: weight of energy against time.
    """
    runs = [run for run in state.reached_runs() if run.batch_size in state.sizes]
    by_size = {size: [run for run in runs if run.batch_size == size] for size in {r.batch_size for r in runs}}
    if not by_size:
        unknown = Estimate(mean=NAN, low=NAN, high=NAN)
        size = state.settings.default_batch_size
        return Best(batch_size=size, power_limit_w=None, cost=unknown, energy_j=unknown, time_s=unknown)
    spread = epoch_scatter(runs)
    answers = [_answer(state, eta, size, by_size[size], spread) for size in sorted(by_size)]
    slowest_s = (state.settings.max_slowdown or math.inf) * min(_last(a.time_s.mean) for a in answers)
    answers = [a for a in answers if not a.time_s.mean > slowest_s]
    # Of batch sizes that ran once the luckiest looks best: each is ranked one standard error above its mean.
    return min(
        answers,
        key=lambda a: _last(a.cost.mean) * math.exp(spread / math.sqrt(len(by_size[a.batch_size]))),
    )


def _answer(state: SearchState, eta: float, size: int, runs: list[CompletedRun], spread: float) -> Best:
    limit_w, energy_j, time_s = _expected(state, eta, size, runs)
    failed = sum(r.batch_size == size and not r.reached and r.stop not in NOT_FAILED for r in state.runs)
    retried = (len(runs) + failed) / len(runs)
    gpus = state.settings.gpus
    mean = cost(energy_j, time_s, eta=eta, max_power_w=state.max_power_w, gpus=gpus) * retried
    width = one_run_width(spread, len(runs))
    return Best(
        batch_size=size,
        power_limit_w=limit_w,
        cost=_interval(mean, width),
        energy_j=_interval(energy_j, width),
        time_s=_interval(time_s, width),
        runs=len(runs),
    )


def _expected(
    state: SearchState, eta: float, size: int, runs: list[CompletedRun]
) -> tuple[float | None, float, float]:
    """Limit (W), energy (J) and time (s) to the target: from the profile, else as measured."""
    profile = state.profiles.get(size)
    epochs = _mean(run.epochs for run in runs)
    if profile is None or math.isnan(epochs):
        return None, _mean(run.energy_j for run in runs), _mean(run.time_s for run in runs)
    limit_w = state.limit_w(profile, eta=eta)
    point = point_at(profile, limit_w)
    time_s = epochs * point.time_per_epoch_s
    return limit_w, time_s * point.average_power_w * state.settings.gpus, time_s


def epoch_scatter(runs: Sequence[CompletedRun]) -> float:
    """Standard deviation of log epochs from run to run, pooled over batch sizes."""
    squares, freedom = 0.0, 0
    for size in {run.batch_size for run in runs}:
        epochs = [run.epochs for run in runs if run.batch_size == size and run.epochs > 0]
        if len(epochs) > 1:
            logs = np.log(epochs)
            squares += float(((logs - logs.mean()) ** 2).sum())
            freedom += len(epochs) - 1
    return math.sqrt((squares + PRIOR_SPREAD**2) / (freedom + 1))


def one_run_width(scatter: float, runs: int) -> float:
    """The upper end of the 90 % interval of one more run over its mean, which is that of so many runs."""
    return math.exp(Z90 * scatter * math.sqrt(1 + 1 / runs))


def _mean(numbers: Iterable[float]) -> float:
    known = [number for number in numbers if not math.isnan(number)]
    return sum(known) / len(known) if known else NAN


def _interval(mean: float, width: float) -> Estimate:
    return Estimate(mean=mean, low=mean / width, high=mean * width)


def _last(number: float) -> float:
    return math.inf if math.isnan(number) else number
