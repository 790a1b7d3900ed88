"""Small sums about log-normal costs: what knowing is worth, and what a run that may be cut short takes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_erf = np.frompyfunc(math.erf, 1, 1)


def normal_cdf(z: Any) -> Array:  # noqa: ANN401 — a number or an array
    """P(Z ≤ z) of a standard normal."""
    return 0.5 * (1.0 + np.asarray(_erf(np.asarray(z) / math.sqrt(2)), dtype=float))


def expected_saving(mean: Array, log_sd: Array, than: float | Array) -> Array:
    """E[max(0, than − X)] of a log-normal X with this mean and standard deviation of log X."""
    sd = np.maximum(log_sd, 1e-9)
    d = (np.log(mean / than) + sd**2 / 2) / sd
    return than * normal_cdf(-d + sd) - mean * normal_cdf(-d)


def expected_up_to(mean: Array, log_sd: Array, most: float) -> Array:
    """E[min(X, most)] of a log-normal X: what a run costs that is stopped at ``most``."""
    return most - expected_saving(mean, log_sd, most)


def mean_beyond(log_mean: float, log_sd: float, beyond: float) -> tuple[float, float]:
    """(E[X | X > beyond], P(X > beyond)) of a log-normal X."""
    sd = max(log_sd, 1e-6)
    mean = math.exp(log_mean + sd**2 / 2)
    if beyond <= 0:
        return mean, 1.0
    z = (math.log(beyond) - log_mean) / sd
    survives = 0.5 * math.erfc(z / math.sqrt(2))
    if survives < 1e-9:
        return beyond * (1 + sd / max(z, 1.0)), survives  # far in the tail: the hazard is z / sd per log unit
    return mean * 0.5 * math.erfc((z - sd) / math.sqrt(2)) / survives, survives
