"""What the learning curve of a run says: epochs to the target, and the chance of never reaching it.

The curve is compared with those of runs that reached the target (references), as freeze-thaw Bayesian
optimisation does with a population of curves (Swersky et al. 2014); DPL and LC-PFN extrapolate from a
prior over curves instead. Metrics are taken as the best so far, oriented so that higher is better. With
R(t) the reference, which needed E_ref epochs, m the metric of the run after e epochs, and g the target:

    offset      d = R(e) − m stays as it is: E_off solves R(E) = g + d                                   (L1)
    stretch     the run shows at e what the reference showed at t = R⁻¹(m): E_str = E_ref · e / t        (L2)
    y = log max(E_off, E_str) / E_ref,   log E ~ log E_ref + y + scale · Student-t                       (L3)
    log odds of never: + a · sqrt(e − 1) · log(E_off / E_ref) + b · log(E_own / E_ref) − c               (L4)

E_own extends the run's own curve by its slope over the last third, a straight line that flatters no
plateau. Both ways of comparing alone are too hopeful of runs that have not got there yet; their
maximum is not (mean error 0.0 against 0.2 to 0.4 of log epochs). A lead in the first epoch says nothing.
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
"""Reports kept of one run; beyond that every second one is dropped."""
SCALE, SCALE_EPOCHS, FREEDOM = 0.9, 20.0, 4.0
"""Scale of L3, SCALE / (1 + e / SCALE_EPOCHS). Median absolute error × 1.48 on half a of the recorded
curves, by epoch 2, 4, 8, 16, 24: 0.42, 0.41, 0.46, 0.26, 0.18; heavy tails."""
ODDS_OFFSET, ODDS_OWN, ODDS_BASE = 1.3, 0.4, 1.2
"""a, b, c of L4. Logistic regression on half a gives a · sqrt(e − 1) = 1.2, 2.7, 3.2, 4.0, 5.1 after 2, 4,
8, 12, 16 epochs, b = 0.35 to 0.6 from 6 epochs on, and c = 0.5 to 2.5 (a run that lives has survived so
far)."""
OWN_FROM = 6.0
"""Epochs after which a run's own slope adds information."""
REFERENCE_EPOCHS = 10.0
"""Where metrics come several times an epoch, a reference of fewer epochs than this is read as if it had as
many."""
FURTHEST = 3.0
"""log E / E_ref is cut off at this: a factor of 20."""


def thinned(curve: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """``curve``, or every second point of it once it has more than ``KEPT``; the newest always stays."""
    return curve if len(curve) <= KEPT else [*curve[:-1:2], curve[-1]]


@dataclass(frozen=True)
class Reference:
    """The curve of a run: epochs, best metric by then (higher is better), and the epochs it needed."""

    epochs: Array
    best: Array
    needed: float

    @classmethod
    def of(cls, curve: Curve, needed: float, target: Target) -> Reference:
        """From (epoch, metric) points."""
        points = np.array(curve)
        best = np.maximum.accumulate(points[:, 1] if target.mode == "max" else -points[:, 1])
        return cls(points[:, 0], best, needed)

    def at(self, epoch: float) -> float:
        """The metric at ``epoch``."""
        return float(np.interp(epoch, self.epochs, self.best))

    def when(self, metric: float) -> float:
        """The epoch of ``metric``, beyond the end by the slope over the last third; inf: never."""
        i = int(np.searchsorted(self.best, metric))
        if i == 0:
            return float(self.epochs[0])
        if i < len(self.best):
            low, high = self.best[i - 1], self.best[i]
            share = (metric - low) / (high - low)
            return float(self.epochs[i - 1] + share * (self.epochs[i] - self.epochs[i - 1]))
        end = float(self.epochs[-1])
        slope = (self.best[-1] - self.at(end * 2 / 3)) / (end / 3)
        return end + float(metric - self.best[-1]) / slope if slope > 0 else math.inf


@dataclass(frozen=True)
class Evidence:
    """Log likelihood over a grid of log epochs, and the change of the log odds of never."""

    log_likelihood: Array
    log_odds_never: float


def evidence(
    curve: Curve, references: Sequence[Reference], target: Target, log_grid: Array
) -> Evidence | None:
    """What ``curve`` says by ``references``; None where it is too short, or there are none."""
    if not curve or not references or target.value is None:
        return None
    goal = target.value if target.mode == "max" else -target.value
    run = Reference.of(curve, curve[-1][0], target)
    epoch, metric = run.needed, float(run.best[-1])
    level = float(np.mean([math.log(reference.needed) for reference in references]))
    seen = max(epoch, min(len(curve), REFERENCE_EPOCHS * epoch / math.exp(level)))
    if seen < 1.5 or epoch <= 0:
        return None
    offset = float(np.mean([_log_ratio(r.when(goal + r.at(epoch) - metric), r.needed) for r in references]))
    stretch = float(np.mean([_log_ratio(epoch, max(r.when(metric), 0.3)) for r in references]))
    scale = SCALE / (1 + seen / SCALE_EPOCHS)
    z = (log_grid - level - max(offset, stretch)) / scale
    log_odds = ODDS_OFFSET * math.sqrt(seen - 1) * max(offset, -2.0) - ODDS_BASE
    if seen >= OWN_FROM:
        log_odds += ODDS_OWN * max(_log_ratio(run.when(goal), math.exp(level)), -2.0)
    return Evidence(-0.5 * (FREEDOM + 1) * np.log1p(z**2 / FREEDOM), log_odds)


def _log_ratio(epochs: float, reference: float) -> float:
    return min(math.log(max(epochs, 0.5) / min(reference, 1e9)), FURTHEST)
