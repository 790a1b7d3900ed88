"""A trial: recorded learning curves on a replayed board, metered by zeus-ray. Runs in Ray's workers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from recurrences import Path, Workload

from zeus_ray.records import Target

SAMPLES = 50_000
"""Samples per epoch; the replayed board is told the same."""
NOT_REACHED = 1e12
"""A run without the target ranks below every run with it, by what it lacked (TPE goes by ranks)."""


def recorded(work: Workload) -> dict[str, Any]:
    """What a trial needs of ``work``, as plain values that any process can read."""
    paths = {b: [(p.reached_at, p.curve) for p in paths] for b, paths in work.paths.items()}
    return {"paths": paths, "target": work.target, "max_epochs": work.max_epochs}


def train(config: dict[str, Any], work: dict[str, Any], clock: Any) -> None:
    """Replay one recorded run. Zeus plans with batch sizes; the others pick by index and set a limit."""
    import ray
    from ray import tune

    import zeus_ray as zeus

    size = config.get("batch_size") or config["batch_sizes"][config["size"]]
    limits = config.get("power_limits_w")
    knobs = {"batch_size": size, "power_limit_w": limits[config["limit"]]} if limits else {}
    path = drawn(work["paths"][size], (config["seed"], number_of_this_trial(tune.get_context()), size))
    target: Target = work["target"]
    with zeus.session(config, target=target, **knobs) as run:
        for epoch in range(1, work["max_epochs"] + 1):
            for _batch in run.steps([None] * math.ceil(SAMPLES / size)):
                pass
            metric = target.value if epoch >= path.reached_at else path.metric(epoch)
            result = run.measure({target.metric: metric})
            ray.get(clock.reach.remote(tune.get_context().get_trial_id(), result["zeus/time_s"]))
            run.send({**result, "objective": objective(result, target)})


def number_of_this_trial(context: Any) -> int:
    """Tune numbers trials in their folders alone; their ids are random."""
    folder = context.get_trial_dir().rsplit("/", 1)[-1]
    return int(folder.removeprefix(context.get_trial_name() + "_").split("_")[0])


def drawn(paths: list[tuple[float, Any]], seed: tuple[int, ...]) -> Path:
    """One of the recorded runs of a batch size."""
    return Path(*paths[int(np.random.default_rng(seed).integers(len(paths)))])


def objective(result: dict[str, Any], target: Target) -> float:
    """What a library should minimise: the cost to the target; without it, how far off the run is."""
    if result["zeus/target_reached"]:
        return float(result["zeus/cost_to_target"])
    metric = result[target.metric]
    lacks = abs(target.value - metric) if math.isfinite(metric) and target.value is not None else 1e3
    return NOT_REACHED * (1 + lacks)
