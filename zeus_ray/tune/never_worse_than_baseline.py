"""The answer of a search against its baseline: never knobs that cost more than those in use today."""

from __future__ import annotations

import math
from statistics import fmean

from zeus_ray.objective import cost
from zeus_ray.records import Best, Estimate
from zeus_ray.search.search import Search
from zeus_ray.store.outcome_from_reports import ActiveRun

TIE = 0.001
"""Costs that differ by less than this share are equal; then the knobs in use today stay."""


def best_with_baseline(search: Search, baseline: ActiveRun | None, eta: float | None = None) -> Best:
    """``search.best``, or the knobs of the baseline where these are not worse.

    Args:
        search: the search.
        baseline: its extra run of the default; None: there was none, or it failed.
        eta: another trade-off than the search's.
    """
    best = search.best(eta=eta)
    if baseline is None or baseline.report.shared or not _reached(baseline, search):
        return best
    factor = _equal_epochs(search, best, baseline)
    energy_j, time_s = baseline.report.energy_j * factor, baseline.report.time_s * factor
    eta = search.eta if eta is None else eta
    gpus = search.gpus
    costs = cost(energy_j, time_s, eta=eta, max_power_w=search.max_power_w, gpus=gpus)
    if not math.isnan(best.cost.mean) and costs > best.cost.mean * (1 + TIE):
        return best
    limit_w = baseline.report.power_limit_w
    width = best.cost.high / best.cost.mean if best.cost.mean > 0 else math.nan
    return Best(
        batch_size=baseline.knobs.batch_size,
        power_limit_w=None if math.isnan(limit_w) else limit_w,
        cost=_around(costs, width),
        energy_j=_around(energy_j, width),
        time_s=_around(time_s, width),
    )


def _equal_epochs(search: Search, best: Best, baseline: ActiveRun) -> float:
    """Epochs that ``best`` is expected to need over those of the baseline, where the batch size is the same.

    The power limit does not change the epochs that are needed: their scatter is no difference of knobs.
    """
    own = search.epochs_to_target(best.batch_size)
    if best.batch_size != baseline.knobs.batch_size or not own or not baseline.epochs > 0:
        return 1.0
    return fmean(own) / baseline.epochs


def _reached(baseline: ActiveRun, search: Search) -> bool:
    return baseline.report.target_reached or search.target.reached(baseline.metric)


def _around(mean: float, width: float) -> Estimate:
    return Estimate(mean=mean, low=mean / width, high=mean * width)
