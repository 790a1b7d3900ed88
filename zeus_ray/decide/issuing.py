"""From what a policy wants to run to the knobs of a run: its power limit, what it is to probe, its cap."""

from __future__ import annotations

import math

from zeus_ray.decide.job import Choice, Job
from zeus_ray.records import Knobs


def knobs_of(choice: Choice, job: Job, gpu: str, energy_price: float) -> Knobs:
    """The knobs of a run on ``gpu`` ("": nobody knows which kind), still without a run id.

    The limit (W) is known by a profile, to be probed, or left as it is found. ``energy_price``: what a
    joule costs now, in multiples of its long-run mean.
    """
    size, kind = choice.batch_size, job.kind_next(gpu)
    new_kind = not (job.profiles.of(kind) if kind else job.kinds_here) and bool(job.profiles.kinds())
    limit_w, probes = _limit(choice, job, kind, energy_price)
    return Knobs(
        run_id="",
        batch_size=size,
        power_limit_w=limit_w,
        probe_limits_w=probes,
        cost_cap=math.inf if new_kind else _cap(choice, job),  # nobody knows what an epoch costs there
        accumulate=max(1, job.memory.micro_batches(size)),
    )


def _limit(
    choice: Choice, job: Job, kind: str, energy_price: float
) -> tuple[float | None, tuple[float, ...] | None]:
    """The limit (W) where it is known, and what is to be probed."""
    size = choice.batch_size
    profile = job.profiles.get(size, kind) if kind else None
    if choice.as_found or (profile is None and size in job.unprofiled):
        return None, ()
    if profile is not None:
        left = job.unprobed.get((kind, size), ())
        return (None, left) if left else (job.limit_w(profile, energy_price), ())
    if not kind and job.profiles.kinds():
        return None, job.settings.power_limits_w  # the run picks the profile of its kind, or makes one
    return None, choice.probe_limits_w


def _cap(choice: Choice, job: Job) -> float:
    """The policy's cap, but never below beta times what the cheapest run has really cost.

    What is expected is epochs times epoch cost; a run also starts up, loads data and evaluates.
    """
    seen = job.usual_cap
    return max(choice.cost_cap, seen) if math.isfinite(seen) else choice.cost_cap
