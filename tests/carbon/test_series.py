"""The time axis: intervals, gaps, integrals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.carbon.series import Series
from zeus_ray.errors import BadInput

HOURS = Series(1000.0, 10.0, np.array([1.0, 2.0, math.nan, 4.0]))


@pytest.mark.parametrize(
    ("time_s", "value"), [(999.9, math.nan), (1000, 1), (1019.9, 2), (1025, math.nan), (1040, math.nan)]
)
def test_the_value_of_an_interval(time_s, value):
    assert HOURS.at(time_s) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("from_s", "to_s", "integral"),
    [
        (1000, 1020, 30),
        (1005, 1012, 9),
        (1030, 1040, 40),
        (1015, 1025, math.nan),
        (990, 1005, math.nan),
        (1, 1, 0),
    ],
)
def test_an_integral_over_a_gap_is_nan(from_s, to_s, integral):
    assert HOURS.integral(from_s, to_s) == pytest.approx(integral, nan_ok=True)


def test_a_part_keeps_its_times():
    part = HOURS.between(1005, 1031)
    assert (part.start_s, len(part)) == (1010, 3)
    assert len(HOURS.between(2000, 3000)) == 0


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_integrals_add_up(values, a, b):
    series = Series(0.0, 1800.0, np.array(values))
    a, b = sorted((a * series.end_s, b * series.end_s))
    parts = series.integral(0, a) + series.integral(a, b) + series.integral(b, series.end_s)
    assert parts == pytest.approx(series.integral(0, series.end_s), abs=1e-6)


@pytest.mark.parametrize("step_s", [0.0, -1.0, math.nan, math.inf])
def test_a_step_that_is_not_positive_is_refused(step_s):
    with pytest.raises(BadInput, match="positive"):
        Series(0.0, step_s, np.zeros(1))
