"""From a policy's choice to the knobs of a run: its power limit, the limits to probe, its cost cap."""

from __future__ import annotations

import math

from zeus_ray.records import Knobs
from zeus_ray.search.policies.policy import Choice
from zeus_ray.search.state import SearchState


def knobs_of(choice: Choice, state: SearchState, gpu: str, energy_price: float, left_j: float) -> Knobs:
    """The knobs of a run on ``gpu`` ("": kind not known), still without a run id.

    Args:
        choice: what the policy wants.
        state: the search.
        gpu: kind of GPU.
        energy_price: what a joule costs now, in multiples of its long-run mean.
        left_j: what the exploration budget leaves for this run (J of cost); inf for a run of the default.
    """
    size, kind = choice.batch_size, state.kind_next(gpu)
    new_kind = not (state.profiles.of(kind) if kind else state.kinds_here) and bool(state.profiles.kinds())
    limit_w, probes = _limit(choice, state, kind, energy_price)
    cap = math.inf if new_kind else min(_cap(choice, state), max(left_j, 0.0))
    return Knobs(
        run_id="",
        batch_size=size,
        power_limit_w=limit_w,
        probe_limits_w=probes,
        cost_cap=cap,  # on a new kind of GPU the cost of an epoch is not known yet
        accumulate=max(1, state.feasible.micro_batches(size)),
    )


def _limit(
    choice: Choice, state: SearchState, kind: str, energy_price: float
) -> tuple[float | None, tuple[float, ...] | None]:
    """The limit (W) where it is known, and the limits to probe."""
    size = choice.batch_size
    profile = state.profiles.get(size, kind) if kind else None
    if choice.as_found or (profile is None and size in state.unprofiled):
        return None, ()
    if profile is not None:
        left = state.unprobed.get((kind, size), ())
        return (None, left) if left else (state.limit_w(profile, energy_price), ())
    if not kind and state.profiles.kinds():
        return None, state.settings.power_limits_w  # the run picks the profile of its kind, or makes one
    return None, choice.probe_limits_w


def _cap(choice: Choice, state: SearchState) -> float:
    """The policy's cap, but never below beta times the cost of the cheapest run.

    Expected cost is epochs times epoch cost; a real run also starts up, loads data and evaluates.
    """
    seen = state.usual_cap
    return max(choice.cost_cap, seen) if math.isfinite(seen) else choice.cost_cap
