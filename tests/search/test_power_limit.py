import math

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.errors import BadInput
from zeus_ray.objective import FALLBACK_MAX_POWER_W, cost, eta_or_default
from zeus_ray.records import PowerProfile
from zeus_ray.search import power_limit as power

POINTS = ((100.0, 95.0, 14.0), (150.0, 140.0, 11.0), (200.0, 180.0, 10.0), (250.0, 200.0, 9.9))


def profile(points=POINTS):
    return PowerProfile(batch_size=64, gpu="V100", max_power_w=250.0, points=points)


@pytest.mark.parametrize(
    ("energy_j", "time_s", "eta", "max_power_w", "gpus", "expected"),
    [
        (1000.0, 10.0, 0.5, 250.0, 1, 1750.0),
        (1000.0, 10.0, 1.0, 250.0, 1, 1000.0),
        (1000.0, 10.0, 0.0, 250.0, 1, 2500.0),
        (1000.0, 10.0, 0.5, 250.0, 4, 5500.0),
        (math.nan, 10.0, 1.0, 250.0, 1, 2500.0),  # energy not measured: time alone
        (1000.0, 10.0, 0.0, None, 1, 10 * FALLBACK_MAX_POWER_W),
        (1000.0, 10.0, 0.0, math.nan, 1, 10 * FALLBACK_MAX_POWER_W),
    ],
)
def test_cost_is_equation_2(energy_j, time_s, eta, max_power_w, gpus, expected):  # noqa: PLR0917 — one column each
    assert cost(energy_j, time_s, eta=eta, max_power_w=max_power_w, gpus=gpus) == expected


def test_without_time_there_is_no_cost():
    assert math.isnan(cost(1.0, math.nan, eta=0.5, max_power_w=250.0))


@pytest.mark.parametrize(
    ("selector", "limit_w"),
    [
        (power.by_cost(1.0), 100.0),
        (power.by_cost(0.0), 250.0),
        (power.by_energy, 100.0),
        (power.by_time, 250.0),
        (power.by_max_slowdown(1.0), 250.0),
        (power.by_max_slowdown(1.02), 200.0),
        (power.by_max_slowdown(1.2), 150.0),
        (power.by_max_slowdown(9.0), 100.0),
    ],
)
def test_selectors(selector, limit_w):
    assert selector(profile()) == limit_w


@given(eta=st.floats(0, 1), gpus=st.integers(1, 8))
@examples(30)
def test_no_measured_limit_is_cheaper_than_the_optimal_one(eta, gpus):
    best = power.optimal_limit_w(profile(), eta=eta, gpus=gpus)
    costs = {w: power.epoch_cost(profile(), w, eta, gpus) for w, _p, _t in POINTS}
    assert costs[best] == min(costs.values())


def test_between_limits_is_interpolated_and_outside_is_unknown():
    assert power.point_at(profile(), 125.0) == (125.0, 117.5, 12.5)
    assert math.isnan(power.epoch_cost(profile(), 90.0, 0.5))


def test_power_that_was_not_measured_leaves_time():
    points = tuple((w, math.nan, t) for w, _p, t in POINTS)
    assert power.optimal_limit_w(profile(points), eta=1.0) == 250.0


def test_a_profile_without_a_usable_point_is_an_error():
    with pytest.raises(BadInput, match="no usable point"):
        power.optimal_limit_w(profile(((100.0, 95.0, math.nan),)), eta=0.5)


def test_a_slowdown_below_one_is_an_error():
    with pytest.raises(BadInput, match="1"):
        power.by_max_slowdown(0.9)


def test_a_profile_within_a_slowdown_has_no_slower_limit():
    whole = profile()
    fastest_s = min(point.time_per_epoch_s for point in whole.points)
    kept = power.within_slowdown(whole, 1.1)
    assert {p.time_per_epoch_s <= 1.1 * fastest_s for p in kept.points} == {True}
    assert 0 < len(kept.points) < len(whole.points)
    free = power.optimal_limit_w(whole, eta=1.0)
    assert power.optimal_limit_w(whole, eta=1.0, max_slowdown=1.1) > free
    assert power.optimal_limit_w(kept, eta=1.0) == power.optimal_limit_w(whole, eta=1.0, max_slowdown=1.1)


@pytest.mark.parametrize(
    ("eta", "max_slowdown", "meant"),
    [(None, None, 0.5), (None, 1.1, 1.0), (0.3, 1.1, 0.3), (0.3, None, 0.3), (0.0, 1.0, 0.0)],
)
def test_a_bound_on_time_without_eta_means_the_least_energy(eta, max_slowdown, meant):
    assert eta_or_default(eta, max_slowdown) == meant


@pytest.mark.parametrize(
    ("eta", "max_slowdown", "words"),
    [(1.5, None, "eta is 1.5"), (None, 0.9, "max_slowdown is 0.9"), (None, math.inf, "max_slowdown is inf")],
)
def test_an_impossible_bound_is_refused(eta, max_slowdown, words):
    with pytest.raises(BadInput, match=words):
        eta_or_default(eta, max_slowdown)
