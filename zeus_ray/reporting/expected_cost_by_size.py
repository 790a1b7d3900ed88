"""What a search expects of each batch size at its cheapest power limit, and which one is not settled."""

from __future__ import annotations

import math

from zeus_ray.records import STOPPED_BY_SEARCH, ExpectedCost
from zeus_ray.reporting.savings import Savings
from zeus_ray.reporting.trials_from_result import INTERRUPTED


def least_cost_by_size(saved: Savings, *, reached: bool) -> list[ExpectedCost]:
    """The expected cost of each batch size at its cheapest limit, the cheapest size first.

    Args:
        saved: has what the experiment stored.
        reached: of the batch sizes that a trial trained to the target; False: of the others.
    """
    trained = {trial.batch_size for trial in saved.trials if trial.target_reached}
    known = [c for c in (saved.found.expected_costs if saved.found else ()) if math.isfinite(c.cost.mean)]
    least: dict[int, ExpectedCost] = {}
    for cost in sorted(known, key=lambda c: c.cost.mean):
        if (cost.batch_size in trained) is reached:
            least.setdefault(cost.batch_size, cost)
    return list(least.values())


def not_settled(saved: Savings) -> ExpectedCost | None:
    """The cheapest batch size that no trial trained to the target, where less is expected of it.

    One that failed by itself, as for lack of memory, is settled.
    """
    failed = {t.batch_size for t in saved.trials if t.stop_reason not in (*STOPPED_BY_SEARCH, INTERRUPTED)}
    others = (cost for cost in least_cost_by_size(saved, reached=False) if cost.batch_size not in failed)
    cheapest = next(others, None)
    if cheapest is None or saved.best is None or not saved.is_expected:
        return None
    return cheapest if cheapest.cost.mean < saved.best.cost else None
