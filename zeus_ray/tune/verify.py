"""``zeus.verify``: does what the search chose train as well as what the user had? Measured, over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ray import tune

from zeus_ray.errors import BadInput
from zeus_ray.records import RESERVED, Best, Knobs, Plan, Target
from zeus_ray.reporting.savings import savings
from zeus_ray.reporting.trial_summary import summaries
from zeus_ray.reporting.verification import MIN_REPEATS, Verification, compare_final_metrics
from zeus_ray.units import power

CHOSEN, DEFAULT = "chosen", "default"


def verify(
    result: Any,  # noqa: ANN401 — Ray is not typed
    repeats: int = 3,
    *,
    best: Best | None = None,
    batch_size_key: str = "batch_size",
    seed_key: str = "seed",
    **options: Any,  # noqa: ANN401 — Ray Tune's own
) -> Verification:
    """Train ``repeats`` times with the chosen knobs and as often with the default, each to its very end.

    No target and no cost cap ends these trainings: what is compared is the final metric. The default
    runs at the limit found on the board. Pass the answer to ``zeus.show(result, verified=...)``.

    Args:
        result: what ``tune.run`` or ``Tuner.fit`` returned for a search with ZeusSearcher, in this process.
        repeats: seeds of each side, at least three.
        best: ``searcher.best()``; None: the batch size whose trials were cheapest on average.
        batch_size_key: the entry of the config that is the batch size.
        seed_key: the entry that a training takes its seed from, 0 to ``repeats`` − 1. One that does
            not look at it varies by itself, or is the same each time.
        options: for ``tune.run``, such as ``storage_path``.

    Raises:
        BadInput: fewer than three repeats, or no trial of a ZeusSearcher has reached the target.
    """
    if repeats < MIN_REPEATS:
        raise BadInput(f"repeats is {repeats!r}; allowed: {MIN_REPEATS} or more, else there is no interval")
    trial, plan, limit_w = _chosen(result, best)
    metric, mode = _goal(plan)
    sides = {
        CHOSEN: replace(plan.knobs, power_limit_w=limit_w, probe_limits_w=(), cost_cap=math.inf),
        DEFAULT: Knobs(run_id="", batch_size=plan.default_batch_size or plan.knobs.batch_size),
    }
    plans, seeds = [], {}
    for side, knobs in sides.items():
        for seed in range(repeats):
            seeds[f"{side} {seed}"] = seed
            plans.append(_to_the_end(plan, replace(knobs, run_id=f"{side} {seed}")).to_config())
    config = {
        **trial.config,
        RESERVED: tune.grid_search(plans),
        batch_size_key: tune.sample_from(lambda spec: spec.config[RESERVED]["knobs"]["batch_size"]),
        seed_key: tune.sample_from(lambda spec: seeds[spec.config[RESERVED]["knobs"]["run_id"]]),
    }
    ran = tune.run(
        trial.trainable_name,
        config=config,
        resources_per_trial=trial.placement_group_factory,
        **{"verbose": 0, "raise_on_failed_trial": False, **options},
    )
    finals = {side: [_final(run, metric) for run in ran.trials if _side(run) == side] for side in sides}
    names = {side: _name(knobs) for side, knobs in sides.items()}
    return compare_final_metrics(
        metric, mode, (names[CHOSEN], finals[CHOSEN]), (names[DEFAULT], finals[DEFAULT])
    )


def _chosen(result: Any, best: Best | None) -> tuple[Any, Plan, float | None]:  # noqa: ANN401 — see verify
    """The trial that stands for the chosen knobs, its plan, and the limit (W; None: none could be set)."""
    answer = savings(summaries(result), batch_size=best.batch_size if best else None).best
    analysis = getattr(result, "_experiment_analysis", result)
    trials = {trial.trial_id: trial for trial in getattr(analysis, "trials", None) or ()}
    trial = trials.get(answer.trial_id) if answer else None
    carried = trial.config.get(RESERVED, {}) if trial is not None else {}
    if answer is None or trial is None or "knobs" not in carried:
        raise BadInput("nothing to verify: the result has no trial of a ZeusSearcher that reached the target")
    limit_w = best.power_limit_w if best is not None else answer.power_limit_w
    return trial, Plan.from_config(carried), None if limit_w is None or math.isnan(limit_w) else limit_w


def _to_the_end(plan: Plan, knobs: Knobs) -> Plan:
    """A plan that nothing ends but the training itself."""
    target = Target(plan.target.metric, None, plan.target.mode) if plan.target else None
    return replace(plan, knobs=knobs, target=target, max_epochs=math.inf, profiles=())


def _goal(plan: Plan) -> tuple[str, str]:
    if plan.target is None:
        raise BadInput("nothing to verify: the search had no target, so no metric")
    return plan.target.metric, plan.target.mode


def _side(trial: Any) -> str:  # noqa: ANN401 — Ray is not typed
    return str(trial.config[RESERVED]["knobs"]["run_id"]).partition(" ")[0]


def _final(trial: Any, metric: str) -> float:  # noqa: ANN401 — Ray is not typed
    """The last value a training reported; NaN where it failed or has none."""
    last: Mapping[str, Any] = trial.last_result or {}
    return math.nan if trial.status == "ERROR" else float(last.get(metric, math.nan))


def _name(knobs: Knobs) -> str:
    limit = "the limit found" if knobs.power_limit_w is None else power(knobs.power_limit_w)
    return f"batch size {knobs.batch_size} at {limit}"
