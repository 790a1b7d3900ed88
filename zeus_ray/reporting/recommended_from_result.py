"""``zeus_ray.recommended(result)``: the answer of a search from its result, without its searcher."""

from __future__ import annotations

import math
from typing import Any

from zeus_ray.errors import TargetNotReached
from zeus_ray.records import NAN, Best, Estimate
from zeus_ray.reporting.savings import savings
from zeus_ray.reporting.search_sentences import not_reached_sentences
from zeus_ray.reporting.stored_answer import stored_answer, stored_best
from zeus_ray.reporting.trials_from_result import summaries


def recommended(result: Any) -> Best:  # noqa: ANN401 — Ray is not typed
    """The knobs that a finished search recommends, with what a run should take.

    It is ``searcher.best()``, which the experiment has stored in its folder. Where that cannot be read, it is
    the batch size whose trials were the cheapest on average, without intervals. Use it where the searcher
    has not seen the search: with Ray Client, or in a later process.

    Args:
        result: what ``tune.run`` or ``Tuner.fit`` returned.

    Raises:
        TargetNotReached: no trial of the result has reached its target; with the nearest, and what to do.
        BadInput: it is something else.
    """
    stored = stored_best(result)
    if stored is not None:
        return stored
    saved = savings(summaries(result), found=stored_answer(result))
    best = saved.best
    if best is None:
        raise TargetNotReached(" ".join(not_reached_sentences(saved.trials, saved.goal)))
    return Best(
        batch_size=best.batch_size,
        power_limit_w=None if math.isnan(best.power_limit_w) else best.power_limit_w,
        cost=_without_interval(best.cost_to_target),
        energy_j=_without_interval(best.energy_j),
        time_s=_without_interval(best.time_s),
    )


def _without_interval(mean: float) -> Estimate:
    return Estimate(mean=mean, low=NAN, high=NAN)
