"""The reservation price: without uncertainty the highest price among the hours needed, with it less."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeus_ray.carbon.planning.price_to_work_now import error_chain, reservation_price


@settings(deadline=None)
@given(prices=st.lists(st.floats(0, 1000), min_size=1, max_size=20), data=st.data())
def test_without_uncertainty_it_is_the_highest_price_among_the_hours_needed(prices, data):
    units = data.draw(st.integers(1, len(prices)))
    price = reservation_price(np.array(prices), np.zeros(len(prices)), 0.9, units)
    assert price == pytest.approx(sorted(prices)[units - 1], abs=1e-4)


def test_work_that_does_not_fit_later_is_done_at_any_price():
    assert reservation_price(np.array([10.0, 20.0]), np.zeros(2), 0.9, 3) > 1e6


def test_two_hours_computed_by_hand():
    # x' is ±1 or thereabouts; from 0, with one hour left there is nothing to choose: the mean.
    assert reservation_price(np.array([100.0]), np.array([10.0]), 0.5, 1) == pytest.approx(100)
    # With two left the first is taken if it is below what the second is then expected to be.
    states, transitions = error_chain(0.0)
    middle = len(states) // 2
    expected = transitions[middle] @ np.minimum(100 + 10 * states, 100)
    assert reservation_price(np.full(2, 100.0), np.full(2, 10.0), 0.0, 1) == pytest.approx(expected)


@settings(deadline=None)
@given(persistence=st.floats(0, 1))
def test_the_chain_has_the_stated_variance_and_persistence(persistence):
    states, transitions = error_chain(persistence)
    assert transitions.sum(axis=1) == pytest.approx(np.ones(len(states)))
    assert transitions @ states == pytest.approx(persistence * states, abs=1e-9)
    assert transitions[len(states) // 2] @ states**2 == pytest.approx(1 - persistence**2, abs=1e-9)


@pytest.mark.slow
def test_waiting_for_hours_better_than_expected_pays():
    rng, persistence = np.random.default_rng(3), 0.6
    spent = {True: 0.0, False: 0.0}
    for _ in range(60):
        x = np.zeros(25)
        for i in range(1, 25):
            x[i] = persistence * x[i - 1] + np.sqrt(1 - persistence**2) * rng.normal()
        truth = 100 + 20 * x
        for uncertain in spent:
            for i in range(25):
                error = truth[i] - 100
                ahead = 100 + error * persistence ** np.arange(1, 25 - i)
                # The chain begins where the forecast is right; what is left of the error is in the forecast.
                price = (
                    reservation_price(ahead, np.full(24 - i, 20.0 * uncertain), persistence, 1)
                    if i < 24
                    else np.inf
                )
                if truth[i] <= price:
                    spent[uncertain] += truth[i]
                    break
    assert spent[True] < 0.85 * spent[False]
