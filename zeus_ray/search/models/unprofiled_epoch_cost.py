"""Cost of an epoch at batch sizes without a profile: a fixed time per step and a time per sample.

A step takes a + c·b, so an epoch costs in proportion to

    1 + A / b,    A = a / c                                                                              (C1)

A is unknown over several orders of magnitude: the prediction is a mixture over a grid of A, each weighted
by how well it fits the profiled sizes.
"""

from __future__ import annotations

import numpy as np

from zeus_ray.search.models.learning_curve import Array

HYPOTHESES = 15
BEYOND_OCTAVES = 3.0
"""A lies at most this far outside the batch sizes on offer."""
FIT_SD = 0.06
"""Deviation of log epoch cost from C1 an octave away: up to 0.06 on V100 and P100 of the NSDI'23 traces."""


def predict(x: Array, log_costs: Array) -> tuple[Array, Array]:
    """Mean and variance of log epoch cost at log2 sizes ``x``; ``log_costs``: NaN where it is not known."""
    knees = np.linspace(x.min() - BEYOND_OCTAVES, x.max() + BEYOND_OCTAVES, HYPOTHESES)
    shapes = np.log1p(2.0 ** (knees[:, None] - x[None, :]))
    known = np.isfinite(log_costs)
    off = log_costs[known] - shapes[:, known]
    level = off.mean(axis=1)
    fit = -0.5 * ((off - level[:, None]) ** 2).sum(axis=1) / FIT_SD**2
    weights = np.exp(fit - fit.max())
    weights /= weights.sum()
    predicted = shapes + level[:, None]
    mean = weights @ predicted
    octaves = np.abs(x[:, None] - x[known][None, :]).min(axis=1)
    var = weights @ (predicted - mean) ** 2 + FIT_SD**2 * np.minimum(octaves, 2)
    return np.where(known, log_costs, mean), np.where(known, 0.0, var)
