"""How many trials run when: the cheapest hours, never past the deadline, whatever the forecast says."""

import math

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from zeus_ray.carbon.planning.width_planner import (
    HOUR_S,
    ForecastUncertainty,
    FreeCapacity,
    RemainingWork,
    WidthRules,
    plan_width,
)
from zeus_ray.carbon.series import Series
from zeus_ray.errors import BadInput

PRICES = st.one_of(st.floats(0, 1000), st.just(math.nan), st.floats(-50, 0))
LOOK_S = HOUR_S / 4


def hourly(*values, start_s=0.0):
    return Series(start_s, HOUR_S, np.array(values, dtype=float))


DOUBTS = st.one_of(
    st.none(),
    st.builds(lambda *v: ForecastUncertainty(hourly(*v[:3]), v[3]), *[PRICES] * 3, st.floats(60, 1e6)),
)


def room(prices, least=0, most=8, first_s=0.0):
    edges_s = HOUR_S * np.arange(len(prices) + 1, dtype=float)
    edges_s[0] = first_s
    return FreeCapacity(edges_s, np.array(prices, dtype=float), least, most)


@pytest.mark.parametrize(
    ("least", "most", "work_h", "widths"),
    [
        (0, 1, 2, [0, 1, 0, 1]),
        (0, 2, 2, [0, 2, 0, 0]),
        (0, 4, 5, [0, 4, 0, 1]),
        (1, 4, 5, [1, 4, 0, 0]),  # early, so that nothing need run in the dear hours
        (1, 4, 2.5, [1, 1.5, 0, 0]),
        (1, 2, 5, [1, 2, 1, 1]),
        (0, 4, 0.5, [0, 0.5, 0, 0]),
        (2, 2, 5, [2, 2, 1, 0]),
        (0, 4, 99, [4, 4, 4, 4]),
    ],
)
def test_the_cheapest_intervals_are_filled_first(least, most, work_h, widths):
    assert room([30, 10, 40, 20], least, most).fill(work_h) == pytest.approx(widths)


def test_of_equal_intervals_the_earliest_are_filled():
    assert room([7, 7, 7, 7]).fill(12) == pytest.approx([8, 4, 0, 0])


def test_an_interval_that_has_begun_takes_less():
    assert room([10, 20], most=1, first_s=HOUR_S / 2).fill(1) == pytest.approx([1, 0.5])


@settings(deadline=None)
@given(
    prices=st.lists(st.floats(0, 1000), min_size=1, max_size=12),
    most=st.integers(1, 8),
    share=st.floats(0.01, 1),
    order=st.randoms(use_true_random=False),
)
def test_no_other_way_to_do_the_work_is_cheaper(prices, most, share, order):
    work_h = share * most * len(prices)
    best = room(prices, 0, most).fill(work_h)
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
def test_no_other_way_in_which_some_always_run_is_cheaper(prices, bounds, share, order):
    least, most = bounds
    work_h = share * most * len(prices)
    best = room(prices, least, most).fill(work_h)
    other, rest = np.zeros(len(prices)), work_h
    for i in range(len(prices)):
        left_h = most * (len(prices) - 1 - i)
        lowest = max(least, rest - left_h)
        other[i] = min(rest, max(lowest, order.uniform(least, most)))
        rest -= other[i]
    assert best.sum() == pytest.approx(work_h)
    assert best @ prices <= other @ prices + 1e-6


def test_it_waits_for_the_cheap_hours_and_then_runs_wide():
    rules = WidthRules(deadline_s=5 * HOUR_S, max_trials=4)
    outlook = hourly(50, 40, 10, 60, 60)
    assert plan_width(rules, RemainingWork(work_h=4), outlook, 0.0).now == 0
    assert plan_width(rules, RemainingWork(work_h=4), outlook, 2 * HOUR_S).now == 4
    assert plan_width(rules, RemainingWork(work_h=4, trials=3), outlook, 2 * HOUR_S).now == 3


def test_doubt_waits_for_better_hours_than_expected():
    rules = WidthRules(deadline_s=24 * HOUR_S, max_trials=1)
    outlook = hourly(*[99.0], *[100.0] * 23)
    doubt = ForecastUncertainty(hourly(*[20.0] * 24), 3 * HOUR_S)
    assert plan_width(rules, RemainingWork(work_h=1), outlook, 0.0).now == 1
    assert plan_width(rules, RemainingWork(work_h=1), outlook, 0.0, doubt).now == 0
    assert plan_width(rules, RemainingWork(work_h=1), hourly(70.0, *[100.0] * 23), 0.0, doubt).now == 1


@pytest.mark.parametrize("nothing", [hourly(), hourly(math.nan, math.nan), hourly(5, start_s=-9 * HOUR_S)])
def test_who_knows_nothing_does_not_wait(nothing):
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


def test_the_end_is_kept_free_of_plans():
    rules = WidthRules(deadline_s=4 * HOUR_S, max_trials=1, margin_s=HOUR_S)
    assert plan_width(rules, RemainingWork(work_h=1), hourly(9, 8, 7, 1), 2 * HOUR_S).why == "flat out"


def test_a_trial_that_cannot_be_split_is_begun_in_time():
    rules = WidthRules(deadline_s=6 * HOUR_S, max_trials=8)
    outlook = hourly(90, 80, 70, 60, 50, 40)
    assert (
        plan_width(rules, RemainingWork(work_h=6, trials=2), outlook, 0.0).now == 0
    )  # as if it could be split
    assert plan_width(rules, RemainingWork(work_h=6, trials=2, longest_h=5), outlook, 0.0).now == 1


def test_a_budget_buys_the_cheapest_hours_and_then_ends_the_sweep():
    rules = WidthRules(deadline_s=3 * HOUR_S, max_trials=2)
    outlook = hourly(30, 10, 20)
    schedule = plan_width(rules, RemainingWork(work_h=6, affordable=40), outlook, 0.0)
    assert schedule.widths == pytest.approx([0, 2, 1])
    assert schedule.now == 0
    assert plan_width(rules, RemainingWork(work_h=6, affordable=0), outlook, 0.0).why == "budget spent"


def test_a_pause_that_costs_more_than_it_saves_is_not_made():
    rules = WidthRules(deadline_s=4 * HOUR_S, max_trials=1, switch_h=0.1)
    outlook = hourly(10, 9.9, 9.8, 30)
    assert plan_width(rules, RemainingWork(work_h=2, running=0), outlook, 0.0).now == 0
    assert plan_width(rules, RemainingWork(work_h=2, running=1), outlook, 0.0).now == 1
    assert plan_width(rules, RemainingWork(work_h=2, running=1), hourly(50, 9, 9, 30), 0.0).now == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_trials": 0},
        {"min_trials": -1},
        {"min_trials": 9},
        {"margin_s": -1},
        {"switch_h": math.nan},
        {"look_every_s": 0},
        {"deadline_s": math.nan},
    ],
)
def test_rules_that_cannot_be_kept_are_refused(wrong):
    with pytest.raises(BadInput):
        WidthRules(**{"deadline_s": 1.0, **wrong})


def simulate(rules, trials, truths, forecasts, doubt):
    """Run (hours, may be paused) by the plan, a look at a time. Returns when they end, and every width."""
    left_h, now_s, widths = [hours for hours, _ in trials], 0.0, []
    begun = set()
    while any(h > 0 for h in left_h):
        open_ = [i for i, h in enumerate(left_h) if h > 0]
        look = RemainingWork(
            work_h=sum(left_h[i] for i in open_), trials=len(open_), longest_h=max(left_h[i] for i in open_)
        )
        values = [truths[int(now_s // HOUR_S) % len(truths)], *forecasts[len(widths) % len(forecasts)]]
        now = plan_width(rules, look, hourly(*values, start_s=now_s // HOUR_S * HOUR_S), now_s, doubt).now
        pinned = [i for i in open_ if i in begun and not trials[i][1]]
        free = sorted((i for i in open_ if i not in pinned), key=lambda i: -left_h[i])
        chosen = [*pinned, *free[: max(0, now - len(pinned))]]
        begun.update(chosen)
        widths.append((now, len(chosen), len(pinned), len(open_)))
        for i in chosen:
            left_h[i] -= rules.look_every_s / HOUR_S
        now_s += rules.look_every_s
    return now_s, widths


@examples(100)
@given(
    quarters=st.lists(st.integers(1, 24), min_size=1, max_size=10),
    bounds=st.tuples(st.integers(0, 8), st.integers(1, 8)).filter(lambda b: b[0] <= b[1]),
    slack_h=st.floats(0, 40),
    data=st.data(),
)
def test_no_forecast_however_wrong_makes_it_miss_the_deadline(quarters, bounds, slack_h, data):
    trials_h = [q / 4 for q in quarters]
    least, most = bounds
    graham_h = sum(trials_h) / most + max(trials_h) * (1 - 1 / most)
    rules = WidthRules(
        deadline_s=(graham_h + slack_h) * HOUR_S, min_trials=least, max_trials=most, look_every_s=LOOK_S
    )
    splittable = data.draw(st.lists(st.booleans(), min_size=len(trials_h), max_size=len(trials_h)))
    truths = data.draw(st.lists(PRICES, min_size=1, max_size=20))
    forecasts = data.draw(st.lists(st.lists(PRICES, max_size=60), min_size=1, max_size=5))
    trials = list(zip(trials_h, splittable, strict=True))
    end_s, widths = simulate(rules, trials, truths, forecasts, data.draw(DOUBTS))
    assert end_s <= rules.deadline_s + 1e-3
    for now, ran, pinned, unfinished in widths:
        assert min(least, unfinished) <= now <= min(most, unfinished)
        assert ran == max(now, pinned)
        assert ran <= most
