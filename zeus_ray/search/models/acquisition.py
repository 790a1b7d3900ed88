"""What a run of another batch size is worth: expected improvement, and when to give a run up."""

from __future__ import annotations

import numpy as np

from zeus_ray.search.models.learning_curve import Array


def expected_improvement(probability: Array, costs: Array, best: float) -> Array:
    """E[(best − cost)+] over the last axis (Jones et al. 1998)."""
    return np.asarray((probability * np.maximum(best - costs, 0.0)).sum(axis=-1))


def value_of_continuing(
    probability: Array, never: float, epochs: Array, now: float, epoch_cost: float, best: float, uses: float, finish: float
) -> float:
    """Best plan "go on to epoch x, then give up", over all x, in J of cost (optimal stopping without learning)."""
    reward = uses * np.maximum(best - epochs * epoch_cost, 0.0) + finish * best
    ahead = np.maximum(epochs - now, 0.0) * epoch_cost
    p = probability * (1 - never)
    done = np.cumsum(p)
    plans = np.cumsum(p * (reward - ahead)) - (1 - done) * ahead
    return float(plans.max())
