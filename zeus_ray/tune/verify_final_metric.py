"""``zeus.verify``: whether the chosen configuration reaches the default's final metric, over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ray import tune

from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import power
from zeus_ray.records import RESERVED, Best, Knobs, Plan, Target, from_plain, read_carried, read_metric
from zeus_ray.reporting.final_metric_comparison import MIN_REPEATS, Verification, compare_final_metrics
from zeus_ray.reporting.savings import savings
from zeus_ray.reporting.stored_answer import stored_best
from zeus_ray.reporting.trials_from_result import summaries
from zeus_ray.tune.config_paths import with_entry

_CHOSEN, _DEFAULT = "chosen", "default"


def verify(
    result: Any,  # noqa: ANN401 — Ray is not typed
    repeats: int = 3,
    *,
    best: Best | None = None,
    batch_size_key: str = "batch_size",
    seed_key: str = "seed",
    **options: Any,  # noqa: ANN401 — Ray Tune's own
) -> Verification:
    """Train ``repeats`` times with the chosen knobs and as often with the default, each to the end.

    No target and no cost cap stops these trainings: the final metrics are compared. The default runs at the
    power limit that is set on the GPU. Pass the answer to ``zeus.show(result, verified=...)``.

    Args:
        result: what ``tune.run`` or ``Tuner.fit`` returned for a search with ZeusSearcher, in this process.
        repeats: trainings of each side, at least three.
        best: ``searcher.best()``; None: the answer that the experiment has stored.
        batch_size_key: the entry of the config that is the batch size.
        seed_key: the entry of the config that is the seed, 0 to ``repeats`` − 1. A training that does not
            read it varies on its own, or gives the same metric each time.
        options: for ``tune.run``, such as ``storage_path``.

    Raises:
        BadInput: fewer than three repeats, or no trial of a ZeusSearcher has reached the target.
    """
    if repeats < MIN_REPEATS:
        raise BadInput(f"repeats is {repeats!r}; allowed: {MIN_REPEATS} or more, else there is no interval")
    trial, plan, limit_w = _chosen_trial(result, best)
    if plan.target is None:
        raise BadInput("nothing to verify: the search had no target, so no metric")
    knobs_of = {
        _CHOSEN: replace(plan.knobs, power_limit_w=limit_w, probe_limits_w=(), cost_cap=math.inf),
        _DEFAULT: Knobs(run_id="", batch_size=plan.default_batch_size or plan.knobs.batch_size),
    }
    runs = {f"{side} {seed}": (knobs_of[side], seed) for side in knobs_of for seed in range(repeats)}
    plans = [_unstopped(plan, replace(knobs, run_id=run_id)) for run_id, (knobs, _seed) in runs.items()]
    config = with_entry(
        {**trial.config, RESERVED: tune.grid_search([each.to_config() for each in plans])},
        batch_size_key,
        tune.sample_from(lambda spec: _knobs(spec.config)["batch_size"]),
    )
    config = with_entry(
        config, seed_key, tune.sample_from(lambda spec: runs[_knobs(spec.config)["run_id"]][1])
    )
    ran = tune.run(
        trial.trainable_name,
        config=config,
        resources_per_trial=trial.placement_group_factory,
        **{"verbose": 0, "raise_on_failed_trial": False, **options},
    )
    finals = {
        side: [_final_metric(run, plan.target.metric) for run in ran.trials if _side(run) == side]
        for side in knobs_of
    }
    chosen, default = ((_described(knobs_of[side]), finals[side]) for side in (_CHOSEN, _DEFAULT))
    return compare_final_metrics(plan.target.metric, plan.target.mode, chosen, default)


def _chosen_trial(result: Any, best: Best | None) -> tuple[Any, Plan, float | None]:  # noqa: ANN401 — see verify
    """A trial with the chosen batch size, its plan, and the power limit (W; None: the one that is set)."""
    answer = savings(summaries(result), answer=best or stored_best(result)).best
    analysis = getattr(result, "_experiment_analysis", result)
    trials = {trial.trial_id: trial for trial in getattr(analysis, "trials", None) or ()}
    trial = trials.get(answer.trial_id) if answer else None
    carried = read_carried(trial.config) if trial is not None else {}
    if answer is None or trial is None or "knobs" not in carried:
        raise BadInput("nothing to verify: the result has no trial of a ZeusSearcher that reached the target")
    limit_w = best.power_limit_w if best is not None else answer.power_limit_w
    return trial, from_plain(Plan, carried), None if limit_w is None or math.isnan(limit_w) else limit_w


def _unstopped(plan: Plan, knobs: Knobs) -> Plan:
    """A plan that stops the training at no target, epoch or cost."""
    target = Target(plan.target.metric, None, plan.target.mode) if plan.target else None
    return replace(plan, knobs=knobs, target=target, max_epochs=math.inf, profiles=())


def _side(trial: Any) -> str:  # noqa: ANN401 — Ray is not typed
    return str(_knobs(trial.config)["run_id"]).partition(" ")[0]


def _knobs(config: Mapping[str, Any]) -> dict[str, Any]:
    return dict(read_carried(config)["knobs"])


def _final_metric(trial: Any, metric: str) -> float:  # noqa: ANN401 — Ray is not typed
    """The last value that a training reported; NaN if it failed or reported none."""
    last: Mapping[str, Any] = trial.last_result or {}
    return math.nan if trial.status == "ERROR" else read_metric(last, metric)


def _described(knobs: Knobs) -> str:
    limit = "the limit found" if knobs.power_limit_w is None else power(knobs.power_limit_w)
    return f"batch size {knobs.batch_size} at {limit}"
