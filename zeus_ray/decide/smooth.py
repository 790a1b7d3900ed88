"""A positive quantity over batch sizes: one of a family of known shapes, and a smooth departure from it.

log y(b) = level + shape_h(b) + f(log2 b) + noise. Each shape h is a hypothesis with equal prior
weight, or one that is given; f is a Gaussian process; the level is unknown. All is Gaussian given h, and the
hypotheses share one covariance, so the mixture costs one factorisation per departure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zeus_ray.decide.value import Array

FLOOR_SD = 0.3
LEVEL_SD = 10.0
"""As good as flat over the logarithm of joules or epochs."""


@dataclass(frozen=True)
class Belief:
    """Mean and variance of log y at every batch size; and the same under each departure, one row each.

    A wild departure that is hardly believed widens the whole, but must not lend all of it its tails.
    """

    mean: Array
    var: Array
    weights: Array
    means: Array
    variances: Array


@dataclass(frozen=True)
class Family:
    """``shapes``: one row per hypothesis, one column per batch size.

    ``departures``: (standard deviation of f, standard deviation by which each batch size departs on
    its own, prior weight), as it may be. ``octaves``: the distance over which f changes. ``floor``:
    log y is not below it; shapes that say so lose weight.
    """

    log2_sizes: Array
    shapes: Array
    departures: tuple[tuple[float, float, float], ...]
    octaves: float
    floor: float = -np.inf
    shape_priors: Array | None = None

    def given(self, at: list[int], logs: Array, noise_var: Array) -> Belief:
        """The belief after observing ``logs`` at columns ``at`` with these noise variances."""
        parts = [self._under(smooth, rough, at, logs, noise_var) for smooth, rough, _w in self.departures]
        priors = np.array([weight for _smooth, _rough, weight in self.departures])
        evidence = np.array([part[0] for part in parts])
        weights = priors * np.exp(evidence - evidence.max())
        weights /= weights.sum()
        means = np.array([part[1] for part in parts])
        mean = weights @ means
        variances = np.array([part[2] for part in parts])
        return Belief(mean, weights @ (variances + (means - mean) ** 2), weights, means, variances)

    def _under(
        self, smooth: float, rough: float, at: list[int], logs: Array, noise_var: Array
    ) -> tuple[float, Array, Array]:
        """Log evidence, mean and variance with one departure, all shapes together."""
        prior = self._covariance(smooth, rough)
        flat = np.full(len(self.shapes), 1 / len(self.shapes))
        shape_priors = flat if self.shape_priors is None else self.shape_priors
        if not at:
            mean = shape_priors @ self.shapes
            return 0.0, mean, np.diag(prior) + shape_priors @ (self.shapes - mean) ** 2
        seen = prior[np.ix_(at, at)] + np.diag(noise_var)
        gain = np.linalg.solve(seen, prior[at]).T
        misfit = logs - self.shapes[:, at]
        fit = -0.5 * np.einsum("ij,ji->i", misfit, np.linalg.solve(seen, misfit.T))
        means = self.shapes + misfit @ gain.T
        below = np.minimum(0.0, means.min(axis=1) - self.floor)
        fit -= 0.5 * (below / FLOOR_SD) ** 2
        weights = shape_priors * np.exp(fit - fit.max())
        evidence = fit.max() + np.log(weights.sum()) - 0.5 * np.linalg.slogdet(seen)[1]
        weights /= weights.sum()
        mean = weights @ means
        within = np.diag(prior) - np.einsum("ij,ji->i", gain, prior[at])
        return float(evidence), mean, np.maximum(within, 0.0) + weights @ (means - mean) ** 2

    def _covariance(self, smooth: float, rough: float) -> Array:
        apart = self.log2_sizes[:, None] - self.log2_sizes[None, :]
        alike = np.exp(-0.5 * (apart / self.octaves) ** 2)
        return np.asarray(LEVEL_SD**2 + smooth**2 * alike + rough**2 * np.eye(len(apart)))
