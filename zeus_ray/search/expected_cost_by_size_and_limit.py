"""The expected cost of a run at every batch size and power limit, measured or not."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from zeus_ray.records import MODELLED, NAN, PROFILED, TRAINED, Estimate, ExpectedCost, PowerProfile
from zeus_ray.search.models.cost_model import CostModel
from zeus_ray.search.models.learning_curve import Array
from zeus_ray.search.power_limit import epoch_cost
from zeus_ray.search.recommendation import epoch_scatter, one_run_width
from zeus_ray.search.state import SearchState

INTERVAL = (0.05, 0.95)


def expected_costs(state: SearchState, model: CostModel | None) -> tuple[ExpectedCost, ...]:
    """Expected cost (J) with its 90 % interval, of runs that reach the target.

    Epochs to the target come from the runs of a batch size, else from the cost model; the cost of an epoch
    from the profile of the batch size. Limits that it did not measure have the shape of the profile with the
    most limits, at its own level, or at that of the model where nothing was measured.

    Args:
        state: what the search was told.
        model: its cost model; None, while nothing has reached the target: no cost is expected then.
    """
    if model is None:
        return ()
    scatter = epoch_scatter(state.reached_runs())
    return tuple(cost for size in model.sizes for cost in _of_size(state, model, size, scatter))


def _of_size(state: SearchState, model: CostModel, size: int, scatter: float) -> Iterator[ExpectedCost]:
    profile = state.profiles.get(size)
    fullest = _fullest_profile(state, size)
    if fullest is None:
        return
    measured = {} if profile is None else _epoch_costs(state, profile)
    shape = _epoch_costs(state, fullest)
    shared = [measured[limit_w] / shape[limit_w] for limit_w in shape if measured.get(limit_w, NAN) > 0]
    level = float(model.epoch_costs[model.column(size)]) / state.epoch_cost(fullest.batch_size)
    factor = math.fsum(shared) / len(shared) if shared else level
    needed = np.exp(model.finished[size]).tolist() if size in model.finished else []
    epochs = _measured(needed, scatter) if needed else _modelled(model, size)
    has_run = TRAINED if needed else PROFILED
    for limit_w in sorted({*measured, *shape}):
        joules = measured.get(limit_w, NAN)
        known = has_run if joules > 0 else MODELLED
        joules = joules if joules > 0 else shape.get(limit_w, NAN) * factor
        yield ExpectedCost(
            batch_size=size,
            power_limit_w=limit_w,
            cost=Estimate(mean=epochs.mean * joules, low=epochs.low * joules, high=epochs.high * joules),
            known=known,
        )


def _epoch_costs(state: SearchState, profile: PowerProfile) -> dict[float, float]:
    """Cost of an epoch (J) by power limit (W)."""
    settings, max_power_w = state.settings, state.max_power_w
    return {
        point.power_limit_w: epoch_cost(
            profile, point.power_limit_w, settings.eta, settings.gpus, max_power_w
        )
        for point in profile.points
    }


def _fullest_profile(state: SearchState, size: int) -> PowerProfile | None:
    """Of the profiles with the most limits the one of the nearest batch size; of equals the smaller."""
    return min(
        state.profiles.of(),
        key=lambda p: (-len(p.points), abs(math.log2(p.batch_size / size)), p.batch_size),
        default=None,
    )


def _measured(epochs: list[float], scatter: float) -> Estimate:
    """Epochs of one more run of a batch size that has reached the target, with the interval of the answer."""
    mean, width = math.fsum(epochs) / len(epochs), one_run_width(scatter, len(epochs))
    return Estimate(mean=mean, low=mean / width, high=mean * width)


def _modelled(model: CostModel, size: int) -> Estimate:
    """Epochs of a run that reaches the target, by the cost model."""
    probability: Array = model.probability[model.column(size)]
    below = np.cumsum(probability) / probability.sum()
    low, high = (math.exp(float(np.interp(share, below, model.log_grid))) for share in INTERVAL)
    return Estimate(mean=math.exp(float(probability @ model.log_grid)), low=low, high=high)
