"""What waiting is worth: without doubt the price of the work's dearest hour, with doubt less."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeus_ray.carbon.planning.optimal_stopping import chain, reservation_price


@settings(deadline=None)
@given(prices=st.lists(st.floats(0, 1000), min_size=1, max_size=20), data=st.data())
def test_without_doubt_it_is_the_dearest_hour_still_needed(prices, data):
    units = data.draw(st.integers(1, len(prices)))
    worth = reservation_price(np.array(prices), np.zeros(len(prices)), 0.9, units)
    assert worth == pytest.approx(sorted(prices)[units - 1], abs=1e-4)


def test_work_that_no_longer_fits_is_worth_any_price():
    assert reservation_price(np.array([10.0, 20.0]), np.zeros(2), 0.9, 3) > 1e6


def test_two_hours_worked_out_by_hand():
    # x' is ±1 or thereabouts; from 0, with one hour left there is nothing to choose: the mean.
    assert reservation_price(np.array([100.0]), np.array([10.0]), 0.5, 1) == pytest.approx(100)
    # With two left the first is taken if it is below what the second is then expected to be.
    states, moves = chain(0.0)
    middle = len(states) // 2
    expected = moves[middle] @ np.minimum(100 + 10 * states, 100)
    assert reservation_price(np.full(2, 100.0), np.full(2, 10.0), 0.0, 1) == pytest.approx(expected)


@settings(deadline=None)
@given(keep=st.floats(0, 1))
def test_the_chain_has_the_variance_and_persistence_it_should(keep):
    states, moves = chain(keep)
    assert moves.sum(axis=1) == pytest.approx(np.ones(len(states)))
    assert moves @ states == pytest.approx(keep * states, abs=1e-9)
    assert moves[len(states) // 2] @ states**2 == pytest.approx(1 - keep**2, abs=1e-9)


def test_doubt_waits_for_hours_better_than_expected_and_is_right_to():
    rng, keep = np.random.default_rng(3), 0.6
    spent = {True: 0.0, False: 0.0}
    for _ in range(300):
        x = np.zeros(25)
        for i in range(1, 25):
            x[i] = keep * x[i - 1] + np.sqrt(1 - keep**2) * rng.normal()
        truth = 100 + 20 * x
        for doubts in spent:
            for i in range(25):
                error = truth[i] - 100
                ahead = 100 + error * keep ** np.arange(1, 25 - i)
                # The chain begins where the forecast is right; what is left of the error is in the forecast.
                worth = (
                    reservation_price(ahead, np.full(24 - i, 20.0 * doubts), keep, 1) if i < 24 else np.inf
                )
                if truth[i] <= worth:
                    spent[doubts] += truth[i]
                    break
    assert spent[True] < 0.93 * spent[False]
