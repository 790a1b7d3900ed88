"""Epochs to the target as a function of batch size: a Gaussian process with unknown roughness.

With x = log2 b, log epochs are f(x) = level + slope · x + roughness · W(x), W a two-sided Wiener process:

    cov f(x), f(x') = LEVEL_VAR + SLOPE_SD² · x·x' + σ² · ((|x| + |x'| − |x − x'|) / 2)                 (E1)

with x counted from the first size observed. σ is unknown: the posterior is a mixture over ``ROUGHNESS``,
each component weighted by its marginal likelihood. One step of the size that changes epochs by a
factor of six makes the rough components likely, and untried sizes beyond it uncertain again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zeus_ray.search.models.learning_curve import Array

SLOPE, SLOPE_SD = 0.2, 0.15
LEVEL_VAR = 4.0
ROUGHNESS = (0.15, 0.3, 0.6, 1.2)
ROUGHNESS_WEIGHTS = (0.3, 0.35, 0.25, 0.1)
ABOVE, BELOW, BETWEEN, SPREAD = 0.85, 0.04, 0.08, 0.6
RADIUS = 1.5


@dataclass(frozen=True)
class EpochsPosterior:
    """Mixture of Gaussians on log epochs: ``weights`` [k], ``means`` and ``variances`` [k, sizes]."""

    weights: Array
    means: Array
    variances: Array

    def on_grid(self, log_grid: Array, extra_var: Array) -> Array:
        """Probability of each grid point [sizes, grid]; ``extra_var`` [sizes]: scatter from run to run."""
        var = self.variances + extra_var
        z = (log_grid - self.means[:, :, None]) ** 2 / var[:, :, None]
        density = np.einsum("k,kij->ij", self.weights, np.exp(-0.5 * z) / np.sqrt(var)[:, :, None])
        density += 1e-12
        return np.asarray(density / density.sum(axis=1, keepdims=True))


def posterior(x: Array, at: Array, y: Array, var: Array) -> EpochsPosterior:
    """Condition on ``y`` (log epochs, variance ``var``) observed at ``at`` (log2 sizes)."""
    origin = at[0]
    x, at = x - origin, at - origin
    means, variances, evidences = [], [], []
    base = LEVEL_VAR + SLOPE_SD**2 * at[:, None] * at[None, :]
    cross = LEVEL_VAR + SLOPE_SD**2 * x[:, None] * at[None, :]
    for sd in ROUGHNESS:
        k = base + sd**2 * _wiener(at, at) + np.diag(var)
        ks = cross + sd**2 * _wiener(x, at)
        off = y - SLOPE * at - y[0]
        solved = np.linalg.solve(k, np.column_stack([off, ks.T]))
        means.append(y[0] + SLOPE * x + ks @ solved[:, 0])
        prior = LEVEL_VAR + SLOPE_SD**2 * x**2 + sd**2 * np.abs(x)
        variances.append(np.maximum(prior - np.einsum("ij,ji->i", ks, solved[:, 1:]), 1e-6))
        evidences.append(-0.5 * (off @ solved[:, 0] + np.linalg.slogdet(k)[1]))
    logs = np.array(evidences) + np.log(ROUGHNESS_WEIGHTS)
    weights = np.exp(logs - logs.max())
    return EpochsPosterior(weights / weights.sum(), np.array(means), np.array(variances))


def _wiener(a: Array, b: Array) -> Array:
    return np.asarray(0.5 * (np.abs(a)[:, None] + np.abs(b)[None, :] - np.abs(a[:, None] - b[None, :])))


def never(x: Array, reached: Array, stopped: dict[float, float]) -> Array:
    """Chance that each size never reaches the target."""
    low, high = reached.min(), reached.max()
    p = np.where(x > high, 1 - ABOVE ** (x - high), np.where(x < low, BELOW, BETWEEN))
    for at, own in stopped.items():
        for side in (1, -1):
            beyond = side * (x - at) > 0
            if (side * (at - reached) > 0).any():
                p = np.where(beyond, 1 - (1 - p) * (1 - SPREAD * own * 0.5 ** ((np.abs(x - at) - 1) / RADIUS)), p)
    return p
