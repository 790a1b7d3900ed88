"""Learning curves: when will a run reach the target, and the chance that it never does.

"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeus_ray.records import Target

Array = NDArray[np.float64]
Curve = tuple[tuple[float, float], ...]
"""(epoch, metric as reported), by rising epoch."""
KEPT = 128
"""Reports of one run that are kept; then every second one is dropped."""

SD, SD_FADE, DOF = 0.5, 20.0, 4.0
ODDS, ODDS_BASE, ODDS_OWN, OWN_FROM = 1.3, 1.2, 0.4, 6.0


def thinned(curve: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """``curve``, or every second point of it once it has more than ``KEPT``; the newest always stays."""
    return curve if len(curve) <= KEPT else [*curve[:-1:2], curve[-1]]


def best_so_far(curve: Curve, target: Target) -> tuple[Array, Array]:
    """Epochs, and the best metric by then, oriented so that higher is better."""
    epochs = np.array([e for e, _m in curve])
    metrics = np.array([m for _e, m in curve])
    return epochs, np.maximum.accumulate(metrics if target.mode == "max" else -metrics)


@dataclass(frozen=True)
class Evidence:
    """What a curve says: log likelihood over the grid of epochs, and log odds of never against reaching."""

    log_likelihood: Array
    log_odds_never: float


@dataclass(frozen=True)
class Reference:
    epochs: Array
    best: Array
    needed: float

    @classmethod
    def of(cls, curve: Curve, needed: float, target: Target) -> Reference:
        e, b = best_so_far(curve, target)
        return cls(e, b, needed)

    def value(self, epoch: float) -> float:
        return float(np.interp(epoch, self.epochs, self.best))

    def when(self, metric: float) -> float:
        """Epoch at which the reference would show ``metric``, extended by its slope over the last third."""
        if metric <= self.best[-1]:
            i = int(np.searchsorted(self.best, metric))
            if i == 0:
                return float(self.epochs[0])
            b0, b1 = self.best[i - 1], self.best[i]
            return float(self.epochs[i - 1] + (metric - b0) / max(b1 - b0, 1e-12) * (self.epochs[i] - self.epochs[i - 1]))
        end = self.epochs[-1]
        slope = (self.best[-1] - self.value(end * 2 / 3)) / (end / 3)
        return float(end + (metric - self.best[-1]) / slope) if slope > 0 else math.inf


def evidence(curve: Curve, references: Sequence[Reference], target: Target, log_grid: Array) -> Evidence | None:
    if not curve or not references or target.value is None:
        return None
    epochs, best = best_so_far(curve, target)
    e, goal = float(epochs[-1]), target.value if target.mode == "max" else -target.value
    yo, ys, base = [], [], []
    for r in references:
        need = r.when(goal + r.value(e) - float(best[-1]))
        yo.append(min(math.log(max(need, 0.5) / r.needed), 3.0))
        ys.append(math.log(e / max(r.when(float(best[-1])), 0.3)))
        base.append(math.log(r.needed))
    off, stretch, at = float(np.mean(yo)), float(np.mean(ys)), float(np.mean(base))
    t = max(e, min(len(curve), 10 * e / math.exp(at)))
    if t < 1.5:
        return None
    sd = SD / (1 + t / SD_FADE)
    z = (log_grid - at - max(off, stretch)) / sd
    ll = -0.5 * (DOF + 1) * np.log1p(z**2 / DOF)
    odds = ODDS * math.sqrt(t - 1) * min(max(off, -2.0), 3.0) - ODDS_BASE
    if t >= OWN_FROM:
        own = Reference(epochs, best, e).when(goal)
        yw = math.log(own) - at if math.isfinite(own) else 3.0
        odds += ODDS_OWN * min(max(yw, -2.0), 3.0)
    return Evidence(ll, odds)
