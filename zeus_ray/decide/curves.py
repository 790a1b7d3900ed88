"""Learning curves: how far a run is, by the runs before it.

Two runs of one job go through the same metric values, one faster than the other. If a run shows at
epoch k what another, which took E epochs, showed at epoch j, it should take about E · k / j. The
later in training, the surer: the error in log epochs is taken as a random walk over log progress.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from zeus_ray.records import Target

Curve = tuple[tuple[float, float], ...]
"""(epoch, best metric so far), where the metric got better."""
WALK_VAR = 0.12
"""Variance of log epochs per unit of log progress still to come."""
COARSE = 0.3
"""An epoch that is only known as a whole number is off by this much of an epoch."""


@dataclass(frozen=True)
class Forecast:
    """log epochs a run should take by its learning curve."""

    log_epochs: float
    var: float


def forecast(curve: Curve, past: Iterable[tuple[Curve, float]], target: Target) -> Forecast | None:
    """What ``curve`` says by ``past`` (curve, epochs to target) runs; None where nothing can be compared."""
    if not curve:
        return None
    epoch, metric = curve[-1]
    guesses, variances = [], []
    for other, needed in past:
        at = first_epoch(other, metric, target)
        if at is None or not 0 < at <= needed or epoch <= 0:
            continue
        guesses.append(math.log(epoch / at * needed))
        coarse = (COARSE / epoch) ** 2 + (COARSE / at) ** 2
        variances.append(WALK_VAR * math.log(needed / at) + coarse)
    if not guesses:
        return None
    # The runs compared with err together (another batch size learns along another curve), so more
    # of them make the mean better but not surer.
    return Forecast(sum(guesses) / len(guesses), sum(variances) / len(variances))


def first_epoch(curve: Curve, metric: float, target: Target) -> float | None:
    """When ``curve`` first showed ``metric`` or better."""
    if target.mode == "max":
        return next((epoch for epoch, shown in curve if shown >= metric), None)
    return next((epoch for epoch, shown in curve if shown <= metric), None)
