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
OLD_ENOUGH = 8
"""Epochs after which a run's own pace means something."""


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


def at_least(curve: Curve, epoch: float, target: Target) -> float:
    """Epochs that a run needs at least by its own curve, which learns ever slower: at its recent pace.

    The pace is that of the latter two thirds of ``epoch`` epochs (a metric may be shown in coarse steps);
    inf where nothing got better in them. 0 where the run is too young to say, or has no target.
    """
    if epoch < OLD_ENOUGH or target.value is None or not curve:
        return 0.0
    early = [metric for at, metric in curve if at <= epoch / 3]
    if not early:
        return 0.0
    gained, missing = abs(curve[-1][1] - early[-1]), abs(target.value - curve[-1][1])
    return epoch + missing / gained * epoch * 2 / 3 if gained > 0 else math.inf


def first_epoch(curve: Curve, metric: float, target: Target) -> float | None:
    """When ``curve`` first showed ``metric`` or better."""
    if target.mode == "max":
        return next((epoch for epoch, shown in curve if shown >= metric), None)
    return next((epoch for epoch, shown in curve if shown <= metric), None)


def relative(curve: Curve, epoch: float, other: Curve, target: Target, log_epochs: float) -> Forecast | None:
    """Log epochs of the run of ``curve``, now at ``epoch``, over those of ``other`` (about ``log_epochs``).

    By the best metric that both have shown, and by what the other has shown and this one has not yet;
    None where there is no such metric.
    """
    if not curve or not other:
        return None
    mine, theirs = curve[-1][1], other[-1][1]
    metric = theirs if target.better(mine, theirs) == mine else mine
    at, other_at = first_epoch(curve, metric, target), first_epoch(other, metric, target)
    if at is None or other_at is None or not at > 0 or not other_at > 0:
        return None
    ahead = next((e for e, shown in other if shown != mine and target.better(shown, mine) == shown), math.inf)
    coarse = (COARSE / at) ** 2 + (COARSE / other_at) ** 2
    var = WALK_VAR * max(0.0, log_epochs - math.log(other_at)) + coarse
    return Forecast(math.log(max(at / other_at, epoch / ahead)), var)
