"""The answer of a search against its baseline: never knobs that cost more than those in use today."""

from __future__ import annotations

import math
from statistics import fmean

from zeus_ray.objective import cost
from zeus_ray.records import Best, Estimate
from zeus_ray.search.recommendation import one_run_width
from zeus_ray.search.search import Search
from zeus_ray.store.outcome_from_reports import ActiveRun, baseline_outcome

TIE = 0.001
"""Costs that differ by less than this share are equal; then the knobs in use today stay."""


def best_with_baseline(search: Search, baseline: ActiveRun | None, eta: float | None = None) -> Best:
    """``search.best``, or the knobs of the baseline where these are not worse.

    Args:
        search: the search.
        baseline: its extra run of the default; None: there was none, or it failed.
        eta: another trade-off than the search's.
    """
    best = search.best(eta)
    expected = expected_baseline(search, baseline, eta)
    if expected is None:
        return best
    if not math.isnan(best.cost.mean) and expected.cost.mean > best.cost.mean * (1 + TIE):
        return best
    return expected


def expected_baseline(search: Search, baseline: ActiveRun | None, eta: float | None = None) -> Best | None:
    """What a training with the knobs of the baseline should take; None where it has not reached the target.

    The power limit does not change the epochs that are needed. So the baseline's own energy and time of an
    epoch count for the mean epochs of all runs of its batch size: their scatter is no difference of knobs.
    """
    if baseline is None or baseline_outcome(search.target, baseline) is None:
        return None
    epochs = search.epochs_to_target(baseline.knobs.batch_size) or (1.0,)
    factor = fmean(epochs) / baseline.epochs if baseline.epochs > 0 else 1.0
    energy_j, time_s = baseline.report.energy_j * factor, baseline.report.time_s * factor
    eta = search.eta if eta is None else eta
    costs = cost(energy_j, time_s, eta=eta, max_power_w=search.max_power_w, gpus=search.gpus)
    width = one_run_width(search.best(eta).scatter, len(epochs))
    limit_w = baseline.report.power_limit_w
    return Best(
        batch_size=baseline.knobs.batch_size,
        power_limit_w=None if math.isnan(limit_w) else limit_w,
        cost=_around(costs, width),
        energy_j=_around(energy_j, width),
        time_s=_around(time_s, width),
        runs=len(epochs),
    )


def _around(mean: float, width: float) -> Estimate:
    return Estimate(mean=mean, low=mean / width, high=mean * width)
