"""Sentences for a person who reads a log: why a run has its knobs, and what to expect of the best ones."""

from __future__ import annotations

import math

from zeus_ray.jobs.job_summary import JobSummary
from zeus_ray.quantity_format import energy, power, seconds
from zeus_ray.records import Best, Knobs, Target


def knobs_sentence(knobs: Knobs, target: Target, best: Best, summary: JobSummary) -> str:
    """Which run this is, its knobs, and the reason for them."""
    reason = _reason(knobs.batch_size, target, best, summary)
    return (
        f"run {len(summary.runs)} of {summary.job}: batch size {knobs.batch_size}, {_limit(knobs)}: {reason}"
    )


def _limit(knobs: Knobs) -> str:
    if knobs.power_limit_w is not None:
        return f"{power(knobs.power_limit_w)} by its profile"
    return "power limits to be profiled" if knobs.probe_limits_w != () else "the limit set on the GPU"


def _reason(size: int, target: Target, best: Best, summary: JobSummary) -> str:
    ended = [run for run in summary.runs if run.outcome is not None]
    times = sum(run.knobs.batch_size == size for run in ended)
    if target.value is None:
        return "the default, whose result becomes the target"
    if not any(run.reached for run in ended):
        return "nothing has reached the target yet" if ended else "the first run is the default's"
    if not times:
        return "not tried yet, and worth trying"
    if size == best.batch_size:
        return f"the best known of {len({run.knobs.batch_size for run in ended})} tried"
    return f"tried {times} times, and worth knowing better"


def expectation_sentence(best: Best) -> str:
    """The knobs a run would have now, and what it should take."""
    if math.isnan(best.cost.mean):
        return "No run has reached the target yet."
    limit = "the limit set on the GPU" if best.power_limit_w is None else power(best.power_limit_w)
    return (
        f"Best known: batch size {best.batch_size} at {limit}; expect {energy(best.energy_j.mean)} "
        f"and {seconds(best.time_s.mean)} a training."
    )
