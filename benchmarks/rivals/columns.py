"""Who plays: a searcher with its scheduler, as ``tune.run`` takes them.

All begin with what the user has today, the default batch size at the maximum limit. Rivals search
indices, so that a library knows the order of batch sizes and limits; their schedulers compare the
metric at equal cost, not at equal epochs, which a larger batch size gets through for less. The user
knows what a run of today costs (``today``), and sets rungs by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from recurrences import Workload

ETA = 0.5
TRIALS = 30
AT_ONCE = 4
START_UP = 8
"""Trials that TPE draws at random, of 30 (the libraries' own 10 and 20 leave it hardly any)."""


def zeus_ray(work: Workload, seed: int) -> dict[str, Any]:
    """ZeusSearcher and EnergyScheduler."""
    from ray import tune

    import zeus_ray as zeus

    searcher = zeus.ZeusSearcher(
        target=work.target,
        default_batch_size=work.default_batch_size,
        power_limits_w=work.limits_w,
        max_epochs=work.max_epochs,
        eta=ETA,
        seed=seed,
    )
    return {
        "search_alg": searcher,
        "scheduler": zeus.EnergyScheduler(searcher),
        "config": {"batch_size": tune.choice(sorted(work.points)), "seed": seed},
    }


def random_fifo(work: Workload, seed: int) -> dict[str, Any]:
    """Random search, every trial to its end."""
    from ray.tune.schedulers import FIFOScheduler
    from ray.tune.search.basic_variant import BasicVariantGenerator

    searcher = BasicVariantGenerator(points_to_evaluate=[today(work)], random_state=seed)
    return {"search_alg": searcher, "scheduler": FIFOScheduler(), "config": space(work, seed)}


def optuna_asha(work: Workload, seed: int) -> dict[str, Any]:
    """Optuna's TPE, told that trials run in parallel, with ASHA over cost."""
    from optuna.samplers import TPESampler
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    sampler = TPESampler(seed=seed, n_startup_trials=START_UP, multivariate=True, constant_liar=True)
    searcher = OptunaSearch(metric="objective", mode="min", points_to_evaluate=[today(work)], sampler=sampler)
    scheduler = ASHAScheduler(
        time_attr="zeus/cost",
        metric=work.target.metric,
        mode=work.target.mode,
        grace_period=todays_cost(work) / 9,
        max_t=2 * todays_cost(work),
        reduction_factor=3,
    )
    return {"search_alg": searcher, "scheduler": scheduler, "config": space(work, seed)}


def hyperopt_median(work: Workload, seed: int) -> dict[str, Any]:
    """HyperOpt's TPE with the median stopping rule over cost."""
    from ray.tune.schedulers import MedianStoppingRule
    from ray.tune.search.hyperopt import HyperOptSearch

    searcher = HyperOptSearch(
        metric="objective",
        mode="min",
        points_to_evaluate=[today(work)],
        n_initial_points=START_UP,
        random_state_seed=seed,
    )
    scheduler = MedianStoppingRule(
        time_attr="zeus/cost",
        metric=work.target.metric,
        mode=work.target.mode,
        grace_period=todays_cost(work) / 9,
        min_samples_required=3,
    )
    return {"search_alg": searcher, "scheduler": scheduler, "config": space(work, seed)}


COLUMNS: dict[str, Callable[[Workload, int], dict[str, Any]]] = {
    "zeus-ray": zeus_ray,
    "random + FIFO": random_fifo,
    "Optuna TPE + ASHA": optuna_asha,
    "HyperOpt + median": hyperopt_median,
}


def space(work: Workload, seed: int) -> dict[str, Any]:
    """The space of a rival: places in the sorted batch sizes and limits."""
    from ray import tune

    return {
        "size": tune.randint(0, len(work.points)),
        "limit": tune.randint(0, len(work.limits_w)),
        "batch_sizes": sorted(work.points),
        "power_limits_w": work.limits_w[::-1],
        "seed": seed,
    }


def today(work: Workload) -> dict[str, int]:
    """The default batch size at the maximum limit, as a point of :func:`space`."""
    return {
        "size": sorted(work.points).index(work.default_batch_size),
        "limit": len(work.limits_w) - 1,
    }


def todays_cost(work: Workload) -> float:
    """Mean cost (J) of a run as the user has it."""
    return work.mean_cost(work.default_batch_size, work.limits_w[0], ETA)
