"""When to run a job of known length, from what is expected of the grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zeus_ray.carbon.series import Series
from zeus_ray.errors import BadInput


@dataclass(frozen=True)
class StartWindow:
    """``length_s`` from ``start_s`` on, and the mean value (per kWh) in it."""

    start_s: float
    length_s: float
    mean: float


def window(series: Series, start_s: float, length_s: float) -> StartWindow:
    """The window that starts then; its mean is NaN where the series does not reach."""
    return StartWindow(start_s, length_s, series.integral(start_s, start_s + length_s) / length_s)


def best_window(series: Series, length_s: float, *, from_s: float, until_s: float) -> StartWindow:
    """The cheapest stretch without a pause in [from_s, until_s]; of equals the first.

    Raises:
        BadInput: it does not fit.
    """
    if not 0 < length_s <= until_s - from_s:
        raise BadInput(
            f"a job of {length_s / 3600:g} h does not fit into {max(0.0, until_s - from_s) / 3600:.3g} h"
        )
    # The integral is linear between edges, so a window that starts or ends at an edge is the best.
    edges = series.start_s + series.step_s * np.arange(len(series) + 1)
    last_s = until_s - length_s
    starts = {from_s, last_s, *(t for t in (*edges, *(edges - length_s)) if from_s <= t <= last_s)}
    found = [window(series, start_s, length_s) for start_s in sorted(starts)]
    known = [one for one in found if not math.isnan(one.mean)]
    if not known:
        raise BadInput("nothing is known of the time in which the job would run")
    return min(known, key=lambda one: one.mean)


def mean_with_pauses(series: Series, length_s: float, *, from_s: float, until_s: float) -> float:
    """The mean (per kWh) of the cheapest ``length_s`` in [from_s, until_s], in as many pieces as it takes."""
    edges = series.start_s + series.step_s * np.arange(len(series) + 1)
    widths = np.clip(np.minimum(edges[1:], until_s) - np.maximum(edges[:-1], from_s), 0.0, None)
    order = np.argsort(series.values, kind="stable")  # NaN last
    taken = np.diff(np.minimum(np.cumsum(widths[order]), length_s), prepend=0.0)
    used = taken > 0
    return float(taken[used] @ series.values[order][used] / length_s)
