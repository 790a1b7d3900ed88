"""Which power limits to probe: those that may turn out cheaper by more than probing them costs."""

from __future__ import annotations

import math

from zeus_ray.records import PowerProfile
from zeus_ray.search import power_limit
from zeus_ray.search.state import SearchState

DIFFERS_SD = 0.03
"""How much two batch sizes an octave apart differ in the relative cost of a limit (NSDI'23 traces)."""
WINDOW_EPOCHS = 0.15
"""Share of an epoch that one window takes, at most about this (5 s, or an epoch over all limits)."""


def limits_to_probe(
    state: SearchState, batch_size: int, gpu: str, epochs_to_come: float
) -> tuple[float, ...] | None:
    """Limits (W) worth probing at ``batch_size``, the most promising first; None: the GPU's own range.

    The nearest batch size with a profile predicts the relative cost of each limit. A limit is probed where
    its expected improvement over ``epochs_to_come`` is more than the extra cost of one window at it.
    """
    near = _nearest(state, batch_size, gpu)
    limits = state.settings.power_limits_w
    if near is None:
        return limits
    relative = _relative_costs(state, near)
    limits = tuple(sorted(relative, reverse=True)) if limits is None else limits
    sd = DIFFERS_SD * (1 + abs(math.log2(batch_size / near.batch_size)))
    wanted = [
        limit_w
        for limit_w in limits
        if _expected_saving(relative.get(limit_w, 1.0), sd) * epochs_to_come
        >= WINDOW_EPOCHS * (relative.get(limit_w, 1.0) - 1)
    ]
    return tuple(sorted(wanted, key=lambda limit_w: relative.get(limit_w, 1.0))) or (state.limit_w(near),)


def _expected_saving(relative: float, sd: float) -> float:
    """E[(1 − r)+] for r normal about ``relative``."""
    z = (1 - relative) / sd
    return sd * (z * 0.5 * math.erfc(-z / math.sqrt(2)) + math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))


def _nearest(state: SearchState, batch_size: int, gpu: str) -> PowerProfile | None:
    """The profile of the nearest batch size that has several limits, all of those it was to have."""
    full = [
        p for p in state.profiles.of(gpu) if len(p.points) > 1 and (p.gpu, p.batch_size) not in state.unprobed
    ]
    return min(full, key=lambda p: abs(math.log2(p.batch_size / batch_size)), default=None)


def _relative_costs(state: SearchState, profile: PowerProfile) -> dict[float, float]:
    """Epoch cost at each limit over that at the best one."""
    settings = state.settings
    costs = {
        p.power_limit_w: power_limit.point_cost(
            p, eta=settings.eta, max_power_w=state.max_power_w, gpus=settings.gpus
        )
        for p in profile.points
    }
    least = min(costs.values())
    return {limit_w: cost / least for limit_w, cost in costs.items()}
