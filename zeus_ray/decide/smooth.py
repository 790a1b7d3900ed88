"""A positive quantity over batch sizes: one of a family of known shapes, and a smooth departure from it.

log y(b) = level + shape_h(b) + f(log2 b) + noise. Each shape h is a hypothesis with equal prior
weight; f is a Gaussian process; the level is unknown. Everything is Gaussian given h, and all
hypotheses share one covariance, so the whole mixture costs one factorisation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zeus_ray.decide.value import Array

LEVEL_SD = 10.0
"""As good as flat over the logarithm of joules or epochs."""


@dataclass(frozen=True)
class Belief:
    """Mean and variance of log y at every batch size."""

    mean: Array
    var: Array


@dataclass(frozen=True)
class Family:
    """``shapes``: one row per hypothesis, one column per batch size. ``amplitude``, ``octaves``: of f.

    ``rough``: standard deviation by which each batch size departs on its own.
    """

    log2_sizes: Array
    shapes: Array
    amplitude: float
    octaves: float
    rough: float

    def given(self, at: list[int], logs: Array, noise_var: Array) -> Belief:
        """The belief after observing ``logs`` at columns ``at`` with these noise variances."""
        prior = self._covariance()
        if not at:
            spread = self.shapes - self.shapes.mean(axis=0)
            return Belief(self.shapes.mean(axis=0), np.diag(prior) + (spread**2).mean(axis=0))
        seen = prior[np.ix_(at, at)] + np.diag(noise_var)
        gain = np.linalg.solve(seen, prior[at]).T
        misfit = logs - self.shapes[:, at]
        means = self.shapes + misfit @ gain.T
        weights = _weights(misfit, seen)
        mean = weights @ means
        between = weights @ (means - mean) ** 2
        within = np.diag(prior) - np.einsum("ij,ji->i", gain, prior[at])
        return Belief(mean, np.maximum(within, 0.0) + between)

    def _covariance(self) -> Array:
        apart = self.log2_sizes[:, None] - self.log2_sizes[None, :]
        smooth = self.amplitude**2 * np.exp(-0.5 * (apart / self.octaves) ** 2)
        return np.asarray(LEVEL_SD**2 + smooth + self.rough**2 * np.eye(len(apart)))


def _weights(misfit: Array, covariance: Array) -> Array:
    """Posterior weight of each hypothesis; the determinant is the same for all and cancels."""
    fit = -0.5 * np.einsum("ij,ji->i", misfit, np.linalg.solve(covariance, misfit.T))
    weights = np.exp(fit - fit.max())
    return np.asarray(weights / weights.sum())
