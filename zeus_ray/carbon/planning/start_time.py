"""When to start a job of known length, from the expected carbon intensity or price."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zeus_ray.carbon.series import Series
from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import HOUR_S


@dataclass(frozen=True)
class JobTime:
    """A job that runs for ``length_s`` from ``start_s`` on, and the mean value (per kWh) while it runs."""

    start_s: float
    length_s: float
    mean: float


def job_at(series: Series, start_s: float, length_s: float) -> JobTime:
    """The job that starts at ``start_s``; its mean is NaN where the series does not cover it."""
    return JobTime(start_s, length_s, series.integral(start_s, start_s + length_s) / length_s)


def best_start(series: Series, length_s: float, *, from_s: float, until_s: float) -> JobTime:
    """The job without pauses in [from_s, until_s] that has the lowest mean; of equals the first.

    Raises:
        BadInput: the job does not fit, or the series covers none.
    """
    if not 0 < length_s <= until_s - from_s:
        raise BadInput(
            f"a job of {length_s / HOUR_S:g} h does not fit into {max(0.0, until_s - from_s) / HOUR_S:.3g} h"
        )
    # The integral is linear between edges, so the best job starts or ends at an edge.
    edges = series.start_s + series.step_s * np.arange(len(series) + 1)
    last_s = until_s - length_s
    starts = {from_s, last_s, *(t for t in (*edges, *(edges - length_s)) if from_s <= t <= last_s)}
    jobs = [job_at(series, start_s, length_s) for start_s in sorted(starts)]
    covered = [job for job in jobs if not math.isnan(job.mean)]
    if not covered:
        raise BadInput("nothing is known of the time in which the job would run")
    return min(covered, key=lambda job: job.mean)


def mean_with_pauses(series: Series, length_s: float, *, from_s: float, until_s: float) -> float:
    """The mean (per kWh) of the lowest ``length_s`` in [from_s, until_s], in as many pieces as it takes."""
    edges = series.start_s + series.step_s * np.arange(len(series) + 1)
    widths = np.clip(np.minimum(edges[1:], until_s) - np.maximum(edges[:-1], from_s), 0.0, None)
    order = np.argsort(series.values, kind="stable")  # NaN last
    taken = np.diff(np.minimum(np.cumsum(widths[order]), length_s), prepend=0.0)
    used = taken > 0
    return float(taken[used] @ series.values[order][used] / length_s)
