"""Rows at any times become a :class:`Series` of regular intervals.

pandas' ``resample`` does not serve here: its mean counts rows, not the time for which each row holds, and
it needs the step, which files and providers do not state.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

import numpy as np

from zeus_ray.carbon.series import Array, Series
from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import HOUR_S

MAX_INTERVALS = 5_000_000
"""Nine years of minutes. More intervals than that mean a wrong year in one row."""


def resample(times_s: Sequence[float] | Array, values: Sequence[float] | Array) -> Series:
    """Regular intervals from rows at any times, in any order.

    The step is the most common distance between two rows. A row holds until the next one, for one step at
    most, so a missing row leaves a gap. The value of an interval is the mean over time of the rows in it;
    an interval of which less than half is covered is a gap.

    Args:
        times_s: start of each row (s since 1970); a row whose time is NaN is left out. Of two rows with
            the same time the later one counts.
        values: one per row; NaN is a gap.

    Raises:
        BadInput: no row has both a time and a value, or the times span too many steps.
    """
    latest = {float(t): float(v) for t, v in zip(times_s, values, strict=True) if math.isfinite(t)}
    if not any(map(math.isfinite, latest.values())):
        raise BadInput("no row has both a time and a value")
    starts_s = np.array(sorted(latest))
    row_values = np.array([latest[time_s] for time_s in starts_s])
    step_s = _most_common_distance(starts_s)
    # Rounded to the nearest interval: of the last row's time, at least half of an interval is covered.
    count = math.ceil((starts_s[-1] - starts_s[0]) / step_s + 0.5 - 1e-9)
    if count > MAX_INTERVALS:
        first, last = (
            dt.datetime.fromtimestamp(t, dt.timezone.utc).isoformat() for t in (starts_s[0], starts_s[-1])
        )
        raise BadInput(f"rows every {step_s:g} s from {first} to {last}: is one of the years wrong?")
    return Series(float(starts_s[0]), step_s, _interval_means(starts_s, row_values, step_s, count))


def _interval_means(starts_s: Array, values: Array, step_s: float, count: int) -> Array:
    """Mean over time of piecewise constant rows, per interval. A row overlaps two intervals at most."""
    lengths_s = np.minimum(np.diff(starts_s, append=starts_s[-1] + step_s), step_s)
    positions = (starts_s - starts_s[0]) / step_s
    index = np.minimum(np.floor(positions + 1e-9).astype(int), count - 1)
    in_first_s = np.minimum(lengths_s, np.maximum(0.0, (index + 1 - positions) * step_s))
    total, covered_s = np.zeros(count + 1), np.zeros(count + 1)
    numbers = np.isfinite(values)
    for interval, overlap_s in ((index, in_first_s), (index + 1, lengths_s - in_first_s)):
        np.add.at(total, interval[numbers], (overlap_s * np.where(numbers, values, 0.0))[numbers])
        np.add.at(covered_s, interval[numbers], overlap_s[numbers])
    enough = covered_s[:count] >= 0.5 * step_s
    return np.where(enough, total[:count] / np.where(enough, covered_s[:count], 1.0), math.nan)


def _most_common_distance(times_s: Array) -> float:
    """The most common distance between rows (s), of equally common ones the smallest; one row: an hour."""
    if len(times_s) < 2:
        return HOUR_S
    distances_s, counts = np.unique(np.round(np.diff(times_s), 3), return_counts=True)
    return float(max(distances_s[np.argmax(counts)], 1.0))
