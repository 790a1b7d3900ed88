"""The interval of a difference of final metrics, and what is claimed from it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.errors import BadInput
from zeus_ray.reporting.verification import compared, student_t


@pytest.mark.parametrize(
    ("freedom", "t"),  # any table of Student's t at 97.5 %
    [(1, 12.706), (2, 4.303), (4, 2.776), (10, 2.228), (30, 2.042), (1e4, 1.960)],
)
def test_quantiles_are_those_of_the_tables(freedom, t):
    assert student_t(0.975, freedom) == pytest.approx(t, abs=0.006)


def test_a_share_that_cannot_be_is_refused():
    with pytest.raises(BadInput, match=r"0\.4"):
        student_t(0.4, 3)


def make(ours, theirs, mode="max"):
    return compared("accuracy", mode, ("batch size 128", ours), ("batch size 64", theirs))


@pytest.mark.parametrize(
    ("ours", "theirs", "mode", "worse", "words"),
    [
        ([0.90, 0.91, 0.92], [0.90, 0.91, 0.92], "max", False, "no loss seen"),
        ([0.80, 0.81, 0.80], [0.90, 0.91, 0.90], "max", True, "WORSE"),
        ([0.99, 0.98, 0.99], [0.90, 0.91, 0.90], "max", False, "no loss seen; one above 0 is ruled out"),
        ([0.80, 0.81, 0.80], [0.90, 0.91, 0.90], "min", False, "no loss seen"),
        ([0.99, 0.98, 0.99], [0.90, 0.91, 0.90], "min", True, "WORSE"),
        ([0.9, 0.9, 0.9], [0.9, 0.9, 0.9], "max", False, "no loss seen"),
        ([0.9, math.nan, 0.9], [0.9, 0.9, 0.9], "max", False, "not compared: only 2 and 3 seeds"),
    ],
)
def test_what_is_claimed(ours, theirs, mode, worse, words):
    found = make(ours, theirs, mode)
    assert found.worse is worse
    assert words in found.sentence


metrics = st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=8)


@given(ours=metrics, theirs=metrics)
def test_the_interval_holds_the_difference_and_turns_with_its_sides(ours, theirs):
    one, other = make(ours, theirs), make(theirs, ours)
    assert one.low <= one.difference <= one.high
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))
