"""Epochs to the target as a function of batch size: a Gaussian process of unknown roughness.

With x = log2 b, counted from the first size observed, log epochs are level + slope · x + σ · W(x), W a
two-sided Wiener process:

    cov f(x), f(x') = LEVEL_VAR + SLOPE_SD² · x·x' + σ² · (|x| + |x'| − |x − x'|) / 2                    (E1)

σ is unknown: the posterior is a mixture over ``ROUGHNESS``, each component weighted by its marginal
likelihood. An octave that changes epochs by a factor of six makes the rough components likely, and the
sizes beyond it uncertain again. The slope is positive because larger batches need more epochs,
E(b) = E_min · (1 + b / B) (McCandlish et al. 2018). Values from half a of the recorded learning curves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from zeus_ray.search.models.learning_curve import Array

SLOPE, SLOPE_SD = 0.23, 0.13
"""Mean log E / E_ref after 1, 2, 3 octaves up: 0.23, 0.50, 0.85; down: −0.26, −0.52, −0.89."""
LEVEL_VAR = 4.0
"""Epochs are known to within a factor of e² before anything has run: wide, and forgotten after the first
run."""
ROUGHNESS = (0.15, 0.3, 0.6, 1.2)
ROUGHNESS_WEIGHTS = (0.3, 0.35, 0.25, 0.1)
"""|log E / E_ref| per octave: median 0.22, 95th percentile 1.4 to 1.9."""
SCATTER, SCATTER_FREEDOM = 0.08, 2.0
"""Standard deviation of log epochs from run to run: median over batch sizes 0.07; worth this many repeats."""
ABOVE = 0.9
"""A size of k octaves above the largest that reached the target reaches it with this to the power of k:
shares that failed 1, 2, 3, 4 octaves up are 0.14, 0.25, 0.30, 0.43."""
BELOW, BETWEEN = 0.04, 0.08
"""Chance to fail below the smallest that reached (0 to 3 % did), and between two that reached."""
SPREAD = 0.6
"""Share of the chance to fail that a stopped size hands to its neighbour on the far side; half of it 1.5
octaves on, because sizes beyond a failing one do reach the target where learning rates do not scale."""


@dataclass(frozen=True)
class EpochsPosterior:
    """Mixture of Gaussians on log epochs: ``weights`` [k], ``means`` and ``variances`` [k, sizes]."""

    weights: Array
    means: Array
    variances: Array

    def on_grid(self, log_grid: Array, extra_var: Array) -> Array:
        """Probability of each grid point [sizes, grid], with the variances ``extra_var`` [sizes] added."""
        var = self.variances + extra_var
        z = (log_grid - self.means[:, :, None]) ** 2 / var[:, :, None]
        density = np.einsum("k,kij->ij", self.weights, np.exp(-0.5 * z) / np.sqrt(var)[:, :, None]) + 1e-12
        return np.asarray(density / density.sum(axis=1, keepdims=True))


def posterior(x: Array, at: Array, log_epochs: Array, var: Array) -> EpochsPosterior:
    """Condition E1 on ``log_epochs`` of variance ``var``, observed at ``at`` (log2 sizes)."""
    x, at, level = x - at[0], at - at[0], log_epochs[0]
    off = log_epochs - level - SLOPE * at
    means, variances, evidences = [], [], []
    for sd in ROUGHNESS:
        k = LEVEL_VAR + SLOPE_SD**2 * np.outer(at, at) + sd**2 * _wiener(at, at) + np.diag(var)
        cross = LEVEL_VAR + SLOPE_SD**2 * np.outer(x, at) + sd**2 * _wiener(x, at)
        solved = np.linalg.solve(k, np.column_stack([off, cross.T]))
        means.append(level + SLOPE * x + cross @ solved[:, 0])
        prior = LEVEL_VAR + SLOPE_SD**2 * x**2 + sd**2 * np.abs(x)
        variances.append(np.maximum(prior - np.einsum("ij,ji->i", cross, solved[:, 1:]), 1e-6))
        evidences.append(-0.5 * (off @ solved[:, 0] + np.linalg.slogdet(k)[1]))
    logs = np.array(evidences) + np.log(ROUGHNESS_WEIGHTS)
    weights = np.exp(logs - logs.max())
    return EpochsPosterior(weights / weights.sum(), np.array(means), np.array(variances))


def scatter(log_epochs: Iterable[Array]) -> float:
    """Standard deviation of log epochs from run to run, pooled over batch sizes, shrunk to ``SCATTER``."""
    squares, freedom = SCATTER_FREEDOM * SCATTER**2, SCATTER_FREEDOM
    for logs in log_epochs:
        squares += float(((logs - logs.mean()) ** 2).sum())
        freedom += len(logs) - 1
    return math.sqrt(squares / freedom)


def never(x: Array, reached: Array, stopped: Mapping[float, float]) -> Array:
    """Chance that each size never reaches the target.

    Args:
        x: log2 sizes.
        reached: log2 sizes that reached the target.
        stopped: chance of never, by log2 size, of those whose runs were stopped or failed.
    """
    low, high = reached.min(), reached.max()
    chance = np.where(x > high, 1 - ABOVE ** (x - high), np.where(x < low, BELOW, BETWEEN))
    for at, own in stopped.items():
        for side in (1, -1):
            if (side * (at - reached) > 0).any():
                handed = SPREAD * own * 0.5 ** ((np.abs(x - at) - 1) / 1.5)
                chance = np.where(
                    side * (x - at) > 0, 1 - (1 - chance) * (1 - np.minimum(handed, 0.9)), chance
                )
    for at, own in stopped.items():
        chance = np.where(x == at, own, chance)
    return np.asarray(chance)


def _wiener(a: Array, b: Array) -> Array:
    return np.asarray(0.5 * (np.abs(a)[:, None] + np.abs(b)[None, :] - np.abs(a[:, None] - b[None, :])))
