"""The start with the lowest mean, without and with pauses."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.carbon.planning.start_time import best_start, job_at, mean_with_pauses
from zeus_ray.carbon.series import Series
from zeus_ray.errors import BadInput

SIX = Series(0.0, 10.0, np.array([5.0, 1.0, 9.0, 2.0, 2.0, 7.0]))


@pytest.mark.parametrize(
    ("length_s", "from_s", "until_s", "start_s", "mean"),
    [
        (10, 0, 60, 10, 1),
        (20, 0, 60, 30, 2),
        (20, 0, 40, 0, 3),  # the two of 2 end after the deadline
        (5, 12, 60, 12, 1),
        (15, 0, 30, 5, 1.0 * 10 / 15 + 5 * 5 / 15),
        (60, 0, 60, 0, 26 / 6),
    ],
)
def test_the_best_start(length_s, from_s, until_s, start_s, mean):
    found = best_start(SIX, length_s, from_s=from_s, until_s=until_s)
    assert (found.start_s, found.mean) == (start_s, pytest.approx(mean))


@given(
    st.lists(st.floats(0, 100), min_size=4, max_size=12), st.floats(1, 40), st.floats(0, 1), st.floats(0, 9.9)
)
def test_no_start_is_better_and_pauses_never_hurt(values, length_s, share, from_s):
    series = Series(0.0, 10.0, np.array(values))
    length_s = min(length_s, series.end_s - from_s - 0.01)
    best = best_start(series, length_s, from_s=from_s, until_s=series.end_s)
    other_s = from_s + share * (series.end_s - length_s - from_s)
    assert best.mean <= job_at(series, other_s, length_s).mean + 1e-6
    pieces = mean_with_pauses(series, length_s, from_s=from_s, until_s=series.end_s)
    assert min(values) - 1e-6 <= pieces <= best.mean + 1e-6


def test_with_pauses_the_lowest_intervals_count():
    assert mean_with_pauses(SIX, 30, from_s=0, until_s=60) == pytest.approx((1 + 2 + 2) / 3)
    assert mean_with_pauses(SIX, 30, from_s=15, until_s=45) == pytest.approx((5 * 1 + 15 * 2 + 10 * 9) / 30)


@pytest.mark.parametrize(("length_s", "until_s"), [(0, 60), (61, 60), (math.nan, 60), (10, 5)])
def test_a_job_that_does_not_fit_is_refused(length_s, until_s):
    with pytest.raises(BadInput, match="does not fit"):
        best_start(SIX, length_s, from_s=0, until_s=until_s)


def test_a_job_in_a_gap_is_refused():
    with pytest.raises(BadInput, match="nothing is known"):
        best_start(Series(0.0, 10.0, np.array([math.nan] * 3)), 10, from_s=0, until_s=30)
