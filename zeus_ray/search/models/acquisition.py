"""What a run of another batch size is worth: expected improvement, and when to give a run up.

C is the expected cost of the best size, U the number of uses an improvement counts for, p(E) the probability
of epochs E (given that the target is reached at all), q the chance that it never is, c the cost of an epoch.
"""

from __future__ import annotations

import numpy as np

from zeus_ray.search.models.learning_curve import Array

FAILURE_PRICE = 0.7
"""Share of the way to x that a run costs which does not get there: curves show it before. Ratio after 10 / 20 / 50
on the retargeted jobs of half a with 0.5, 0.7, 1: 0.44 / 0.47 / 0.60, 0.43 / 0.47 / 0.59, 0.46 / 0.49 / 0.65."""


def improvement(probability: Array, never: Array, costs: Array, best: float) -> tuple[Array, Array]:
    """(1 − q) · E[(C − cost)+] (Mockus 1978; Jones et al. 1998) and (1 − q) · P(cost <= C), over the last axis."""
    reaches = np.where(costs <= best, probability, 0.0) * (1 - never)[:, None]
    return np.asarray((reaches * (best - costs)).sum(axis=-1)), np.asarray(reaches.sum(axis=-1))


def value_of_continuing(
    probability: Array,
    never: float,
    epochs: Array,
    *,
    now: float,
    epoch_cost: float,
    best: float,
    uses: float,
    finish: float,
    most: float,
) -> float:
    """Value (J) of the best plan "go on to epoch x, then give up", over all x whose cost is at most ``most``.

        Σ_{E ≤ x} (1 − q) p(E) · [U · (C − E·c)+ + finish · C − (E − now)·c] − φ · P(not there by x) · (x − now)·c   (A1)

    φ = FAILURE_PRICE. A run that gets there replaces one of the best size (``finish``). Below 0 the run is given up.
    """
    ahead = np.maximum(epochs - now, 0.0) * epoch_cost
    reward = uses * np.maximum(best - epochs * epoch_cost, 0.0) + finish * best
    reaches = probability * (1 - never)
    plans = np.cumsum(reaches * (reward - ahead)) - FAILURE_PRICE * (1 - np.cumsum(reaches)) * ahead
    plans = plans[epochs * epoch_cost <= most]
    return float(plans.max()) if len(plans) else -np.inf
