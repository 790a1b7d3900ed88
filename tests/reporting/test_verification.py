"""The interval of a difference of final metrics, and the sentence about it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.errors import BadInput
from zeus_ray.reporting.final_metric_comparison import compare_final_metrics, student_t


@pytest.mark.parametrize(
    ("freedom", "t"),  # any table of Student's t at 97.5 %
    [(1, 12.706), (2, 4.303), (4, 2.776), (10, 2.228), (30, 2.042), (1e4, 1.960)],
)
def test_quantiles_agree_with_published_tables(freedom, t):
    assert student_t(0.975, freedom) == pytest.approx(t, abs=0.006)


def test_a_probability_outside_the_range_is_refused():
    with pytest.raises(BadInput, match=r"0\.4"):
        student_t(0.4, 3)


def compare(chosen, default, mode="max"):
    return compare_final_metrics("accuracy", mode, ("batch size 128", chosen), ("batch size 64", default))


@pytest.mark.parametrize(
    ("chosen", "default", "mode", "worse", "sentence"),
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
def test_the_sentence_claims_a_loss_only_if_the_interval_excludes_none(
    chosen, default, mode, worse, sentence
):
    found = compare(chosen, default, mode)
    assert found.worse is worse
    assert sentence in found.sentence


metrics = st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=8)


@given(chosen=metrics, default=metrics)
def test_the_interval_contains_the_difference_and_changes_sign_with_the_order(chosen, default):
    one, other = compare(chosen, default), compare(default, chosen)
    assert one.low <= one.difference <= one.high
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))
