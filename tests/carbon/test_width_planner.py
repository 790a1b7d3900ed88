"""How many trials run when: the cheapest hours, and never past the deadline, whatever the forecast."""

import math

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from zeus_ray.carbon.forecasts.forecaster import ForecastUncertainty
from zeus_ray.carbon.planning.interval_filling import FreeCapacity
from zeus_ray.carbon.planning.width_planner import RemainingWork, WidthRules, plan_width
from zeus_ray.carbon.series import Series
from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import HOUR_S

PRICES = st.one_of(st.floats(0, 1000), st.just(math.nan), st.floats(-50, 0))
REPLAN_S = HOUR_S / 4


def hourly(*values, start_s=0.0):
    return Series(start_s, HOUR_S, np.array(values, dtype=float))


UNCERTAINTIES = st.one_of(
    st.none(),
    st.builds(lambda *v: ForecastUncertainty(hourly(*v[:3]), v[3]), *[PRICES] * 3, st.floats(60, 1e6)),
)


def capacity(prices, least=0, most=8, first_s=0.0):
    edges_s = HOUR_S * np.arange(len(prices) + 1, dtype=float)
    edges_s[0] = first_s
    return FreeCapacity(edges_s, np.array(prices, dtype=float), least, most)


@pytest.mark.parametrize(
    ("least", "most", "work_h", "widths"),
    [
        (0, 1, 2, [0, 1, 0, 1]),
        (0, 2, 2, [0, 2, 0, 0]),
        (0, 4, 5, [0, 4, 0, 1]),
        (1, 4, 5, [1, 4, 0, 0]),  # early, so that none runs in the expensive hours
        (1, 4, 2.5, [1, 1.5, 0, 0]),
        (1, 2, 5, [1, 2, 1, 1]),
        (0, 4, 0.5, [0, 0.5, 0, 0]),
        (2, 2, 5, [2, 2, 1, 0]),
        (0, 4, 99, [4, 4, 4, 4]),
    ],
)
def test_the_cheapest_intervals_are_filled_first(least, most, work_h, widths):
    assert capacity([30, 10, 40, 20], least, most).fill(work_h) == pytest.approx(widths)


def test_of_equal_intervals_the_earliest_are_filled():
    assert capacity([7, 7, 7, 7]).fill(12) == pytest.approx([8, 4, 0, 0])


def test_a_partial_interval_takes_less():
    assert capacity([10, 20], most=1, first_s=HOUR_S / 2).fill(1) == pytest.approx([1, 0.5])


@settings(deadline=None)
@given(
    prices=st.lists(st.floats(0, 1000), min_size=1, max_size=12),
    most=st.integers(1, 8),
    share=st.floats(0.01, 1),
    order=st.randoms(use_true_random=False),
)
def test_no_other_distribution_of_the_work_is_cheaper(prices, most, share, order):
    work_h = share * most * len(prices)
    best = capacity(prices, 0, most).fill(work_h)
    other, rest = np.zeros(len(prices)), work_h
    for i in order.sample(range(len(prices)), len(prices)):
        other[i] = min(most, rest)
        rest -= other[i]
    assert best.sum() == pytest.approx(work_h)
    assert best @ prices <= other @ prices + 1e-6


@settings(deadline=None)
@given(
    prices=st.lists(st.floats(0, 1000), min_size=1, max_size=12),
    bounds=st.tuples(st.integers(1, 4), st.integers(1, 4)).map(sorted),
    share=st.floats(0.01, 1),
    order=st.randoms(use_true_random=False),
)
def test_no_other_distribution_with_a_minimum_width_is_cheaper(prices, bounds, share, order):
    least, most = bounds
    work_h = share * most * len(prices)
    best = capacity(prices, least, most).fill(work_h)
    other, rest = np.zeros(len(prices)), work_h
    for i in range(len(prices)):
        left_h = most * (len(prices) - 1 - i)
        lowest = max(least, rest - left_h)
        other[i] = min(rest, max(lowest, order.uniform(least, most)))
        rest -= other[i]
    assert best.sum() == pytest.approx(work_h)
    assert best @ prices <= other @ prices + 1e-6


def test_it_waits_for_the_cheap_hours_and_then_runs_at_full_width():
    rules = WidthRules(deadline_s=5 * HOUR_S, max_trials=4)
    expected = hourly(50, 40, 10, 60, 60)
    assert plan_width(rules, RemainingWork(work_h=4), expected, 0.0).now == 0
    assert plan_width(rules, RemainingWork(work_h=4), expected, 2 * HOUR_S).now == 4
    assert plan_width(rules, RemainingWork(work_h=4, trials=3), expected, 2 * HOUR_S).now == 3


def test_with_uncertainty_it_waits_for_hours_better_than_expected():
    rules = WidthRules(deadline_s=24 * HOUR_S, max_trials=1)
    expected = hourly(*[99.0], *[100.0] * 23)
    uncertainty = ForecastUncertainty(hourly(*[20.0] * 24), 3 * HOUR_S)
    assert plan_width(rules, RemainingWork(work_h=1), expected, 0.0).now == 1
    assert plan_width(rules, RemainingWork(work_h=1), expected, 0.0, uncertainty).now == 0
    assert plan_width(rules, RemainingWork(work_h=1), hourly(70.0, *[100.0] * 23), 0.0, uncertainty).now == 1


@pytest.mark.parametrize("nothing", [hourly(), hourly(math.nan, math.nan), hourly(5, start_s=-9 * HOUR_S)])
def test_without_a_forecast_it_does_not_wait(nothing):
    assert (
        plan_width(WidthRules(deadline_s=9 * HOUR_S, max_trials=3), RemainingWork(work_h=4), nothing, 0.0).now
        == 3
    )


def test_a_gap_counts_as_the_mean():
    rules = WidthRules(deadline_s=3 * HOUR_S, max_trials=1)
    assert plan_width(rules, RemainingWork(work_h=1), hourly(math.nan, 10, 90), 0.0).now == 0
    assert plan_width(rules, RemainingWork(work_h=2), hourly(90, 10, math.nan), 0.0).now == 0


def test_after_the_deadline_everything_runs():
    assert (
        plan_width(
            WidthRules(deadline_s=0.0, max_trials=5), RemainingWork(work_h=9), hourly(1, 2), HOUR_S
        ).now
        == 5
    )


def test_the_margin_before_the_deadline_is_kept_free():
    rules = WidthRules(deadline_s=4 * HOUR_S, max_trials=1, margin_s=HOUR_S)
    assert plan_width(rules, RemainingWork(work_h=1), hourly(9, 8, 7, 1), 2 * HOUR_S).reason == "full width"


def test_a_trial_that_cannot_be_split_starts_in_time():
    rules = WidthRules(deadline_s=6 * HOUR_S, max_trials=8)
    expected = hourly(90, 80, 70, 60, 50, 40)
    assert (
        plan_width(rules, RemainingWork(work_h=6, trials=2), expected, 0.0).now == 0
    )  # as if it could be split
    assert plan_width(rules, RemainingWork(work_h=6, trials=2, longest_h=5), expected, 0.0).now == 1


def test_a_budget_pays_for_the_cheapest_hours_and_then_ends_the_sweep():
    rules = WidthRules(deadline_s=3 * HOUR_S, max_trials=2)
    expected = hourly(30, 10, 20)
    schedule = plan_width(rules, RemainingWork(work_h=6, budget=40), expected, 0.0)
    assert schedule.widths == pytest.approx([0, 2, 1])
    assert schedule.now == 0
    assert plan_width(rules, RemainingWork(work_h=6, budget=0), expected, 0.0).reason == "budget spent"


def test_a_pause_that_costs_more_than_it_saves_is_not_made():
    rules = WidthRules(deadline_s=4 * HOUR_S, max_trials=1, switch_cost_h=0.1)
    expected = hourly(10, 9.9, 9.8, 30)
    assert plan_width(rules, RemainingWork(work_h=2, running=0), expected, 0.0).now == 0
    assert plan_width(rules, RemainingWork(work_h=2, running=1), expected, 0.0).now == 1
    assert plan_width(rules, RemainingWork(work_h=2, running=1), hourly(50, 9, 9, 30), 0.0).now == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_trials": 0},
        {"min_trials": -1},
        {"min_trials": 9},
        {"margin_s": -1},
        {"switch_cost_h": math.nan},
        {"replan_every_s": 0},
        {"deadline_s": math.nan},
    ],
)
def test_impossible_rules_are_refused(wrong):
    with pytest.raises(BadInput):
        WidthRules(**{"deadline_s": 1.0, **wrong})


def simulate(rules, trials, truths, forecasts, uncertainty):
    """Run trials of (hours, may be paused) by the plan. Returns when they end, and all widths."""
    left_h, now_s, widths = [hours for hours, _ in trials], 0.0, []
    begun = set()
    while any(h > 0 for h in left_h):
        open_ = [i for i, h in enumerate(left_h) if h > 0]
        remaining = RemainingWork(
            work_h=sum(left_h[i] for i in open_), trials=len(open_), longest_h=max(left_h[i] for i in open_)
        )
        values = [truths[int(now_s // HOUR_S) % len(truths)], *forecasts[len(widths) % len(forecasts)]]
        now = plan_width(
            rules, remaining, hourly(*values, start_s=now_s // HOUR_S * HOUR_S), now_s, uncertainty
        ).now
        pinned = [i for i in open_ if i in begun and not trials[i][1]]
        free = sorted((i for i in open_ if i not in pinned), key=lambda i: -left_h[i])
        chosen = [*pinned, *free[: max(0, now - len(pinned))]]
        begun.update(chosen)
        widths.append((now, len(chosen), len(pinned), len(open_)))
        for i in chosen:
            left_h[i] -= rules.replan_every_s / HOUR_S
        now_s += rules.replan_every_s
    return now_s, widths


@pytest.mark.slow
@examples(100)
@given(
    quarters=st.lists(st.integers(1, 24), min_size=1, max_size=10),
    bounds=st.tuples(st.integers(0, 8), st.integers(1, 8)).filter(lambda b: b[0] <= b[1]),
    slack_h=st.floats(0, 40),
    data=st.data(),
)
def test_no_forecast_makes_it_miss_the_deadline(quarters, bounds, slack_h, data):
    trials_h = [q / 4 for q in quarters]
    least, most = bounds
    graham_h = sum(trials_h) / most + max(trials_h) * (1 - 1 / most)
    rules = WidthRules(
        deadline_s=(graham_h + slack_h) * HOUR_S, min_trials=least, max_trials=most, replan_every_s=REPLAN_S
    )
    splittable = data.draw(st.lists(st.booleans(), min_size=len(trials_h), max_size=len(trials_h)))
    truths = data.draw(st.lists(PRICES, min_size=1, max_size=20))
    forecasts = data.draw(st.lists(st.lists(PRICES, max_size=60), min_size=1, max_size=5))
    trials = list(zip(trials_h, splittable, strict=True))
    end_s, widths = simulate(rules, trials, truths, forecasts, data.draw(UNCERTAINTIES))
    assert end_s <= rules.deadline_s + 1e-3
    for now, ran, pinned, unfinished in widths:
        assert min(least, unfinished) <= now <= min(most, unfinished)
        assert ran == max(now, pinned)
        assert ran <= most
