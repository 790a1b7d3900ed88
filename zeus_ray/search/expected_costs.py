"""The expected cost of a run at every batch size and power limit, measured or not."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from zeus_ray.records import MODELLED, PROFILED, TRAINED, Estimate, ExpectedCost, PowerProfile
from zeus_ray.search.models.cost_model import CostModel
from zeus_ray.search.models.learning_curve import Array
from zeus_ray.search.power_limit import epoch_cost
from zeus_ray.search.state import SearchState

INTERVAL = (0.05, 0.95)


def expected_costs(state: SearchState, model: CostModel | None) -> tuple[ExpectedCost, ...]:
    """Expected cost (J) with its 90 % interval, of runs that reach the target.

    Epochs to the target come from the runs of a batch size, else from the cost model; the cost of an epoch
    from the profile of the batch size. Where it has none, the nearest profiled one gives the shape over the
    limits, and the model the level.

    Args:
        state: what the search was told.
        model: its cost model; None, while nothing has reached the target: no cost is expected then.
    """
    if model is None:
        return ()
    return tuple(cost for size in model.sizes for cost in _of_size(state, model, size))


def _of_size(state: SearchState, model: CostModel, size: int) -> Iterator[ExpectedCost]:
    profile = state.profiles.get(size)
    nearest = profile or _nearest_profile(state, size)
    if nearest is None:
        return
    known = TRAINED if size in model.finished else PROFILED if profile else MODELLED
    epochs = _epochs(model, size)
    level = float(model.epoch_costs[model.column(size)]) / state.epoch_cost(nearest.batch_size)
    for point in nearest.points:
        joules = epoch_cost(
            nearest, point.power_limit_w, state.settings.eta, state.settings.gpus, state.max_power_w
        )
        joules *= level if profile is None else 1.0
        yield ExpectedCost(
            batch_size=size,
            power_limit_w=point.power_limit_w,
            cost=Estimate(mean=epochs.mean * joules, low=epochs.low * joules, high=epochs.high * joules),
            known=known,
        )


def _nearest_profile(state: SearchState, size: int) -> PowerProfile | None:
    return min(
        state.profiles.of(), key=lambda p: abs(math.log2(p.batch_size / size)), default=None
    )  # of equals the smaller


def _epochs(model: CostModel, size: int) -> Estimate:
    """Epochs of a run that reaches the target."""
    probability: Array = model.probability[model.column(size)]
    if size in model.finished:
        logs = model.finished[size]
        width = 1.645 * model.scatter * math.sqrt(1 + 1 / len(logs))
        mean = float(np.exp(logs).mean())
        return Estimate(mean=mean, low=mean * math.exp(-width), high=mean * math.exp(width))
    below = np.cumsum(probability) / probability.sum()
    low, high = (math.exp(float(np.interp(share, below, model.log_grid))) for share in INTERVAL)
    return Estimate(mean=math.exp(float(probability @ model.log_grid)), low=low, high=high)
