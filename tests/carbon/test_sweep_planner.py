"""The width of a sweep over time: how long trials take, when a plan is made, what a budget allows."""

import math

import numpy as np
import pytest

from zeus_ray.carbon.constant_and_recorded_signal import ConstantSignal, RecordedSignal
from zeus_ray.carbon.planning.sweep_replanning import SweepPlanner, SweepState
from zeus_ray.carbon.planning.trial_durations import TrialHours
from zeus_ray.carbon.planning.width_planner import WidthRules
from zeus_ray.carbon.series import Series
from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import HOUR_S

RULES = WidthRules(deadline_s=10 * HOUR_S, max_trials=2, replan_every_s=300.0)
DIRTY_THEN_CLEAN = RecordedSignal(Series(0.0, HOUR_S, np.array([200.0] * 4 + [100.0] * 6)))


def state(active=(), unfinished=("a", "b"), ended=(), **more):
    return SweepState(
        active=frozenset(active),
        running=len(active),
        unfinished=tuple(unfinished),
        ended=tuple(ended),
        **{"to_come": 0, **more},
    )


# --- how long trials take ------------------------------------------------------------------------


def test_the_remaining_work_is_unknown_until_a_trial_has_ended():
    hours = TrialHours(None)
    hours.observe(0.0, {"a", "b"}, ())
    hours.observe(2 * HOUR_S, {"a", "b"}, ())
    assert hours.remaining(["a", "b"], 0, math.inf) is None
    hours.observe(2 * HOUR_S, {"b"}, {"a"})
    remaining = hours.remaining(["b"], 3, 7.0)
    assert remaining.work_h == pytest.approx(2 / 9 + 3 * 2)  # b is 90 % done, three are to come
    assert (remaining.trials, remaining.longest_h, remaining.budget) == (4, 2.0, 7.0)


def test_a_guess_counts_until_a_trial_has_ended():
    hours = TrialHours(4.0)
    hours.observe(0.0, {"a"}, ())
    hours.observe(HOUR_S, {"a"}, ())
    assert hours.remaining(["a"], 1, math.inf).work_h == pytest.approx(3 + 4)
    hours.observe(HOUR_S, (), {"a"})
    assert hours.remaining([], 1, math.inf).work_h == pytest.approx(1)


def test_the_mean_counts_for_the_work_and_the_longest_for_one_trial():
    hours = TrialHours(None)
    hours.restore("a", 1.0, ended=True)
    hours.restore("b", 3.0, ended=True)
    hours.restore("c", 0.5, ended=False)
    remaining = hours.remaining(["c"], 0, math.inf)
    assert (remaining.work_h, remaining.longest_h) == (1.5, 2.5)


def test_a_trial_that_ended_unobserved_does_not_count():
    hours = TrialHours(5.0)
    hours.observe(0.0, (), {"a"})
    assert hours.remaining([], 1, math.inf).work_h == 5.0


# --- plans ---------------------------------------------------------------------------------------


def test_it_runs_at_full_width_until_it_is_known_how_long_a_trial_takes():
    planner = SweepPlanner(RULES)
    assert planner.plan(DIRTY_THEN_CLEAN, 0.0, state()).reason == "duration unknown"
    assert planner.schedules[-1].now == 2


def test_it_waits_for_the_clean_hours():
    planner = SweepPlanner(RULES, hours_per_trial=1.0)
    assert planner.plan(DIRTY_THEN_CLEAN, 0.0, state()).now == 0
    assert planner.plan(DIRTY_THEN_CLEAN, 4 * HOUR_S, state()).now == 2
    assert [(step.value, step.planned, step.paused) for step in planner.steps] == [(200, 0, 2), (100, 2, 2)]


def test_it_plans_again_when_it_is_due_and_when_the_number_of_trials_changes():
    planner = SweepPlanner(RULES, hours_per_trial=1.0)
    for now_s, unfinished in ((0.0, "ab"), (299.0, "ab"), (299.0, "abc"), (598.0, "abc"), (599.0, "abc")):
        planner.plan(DIRTY_THEN_CLEAN, now_s, state(unfinished=unfinished))
    assert [step.at_s for step in planner.steps] == [0.0, 299.0, 599.0]


def test_a_spent_budget_ends_the_sweep_and_one_without_a_known_power_does_not():
    planner = SweepPlanner(RULES, hours_per_trial=1.0, budget_g=10.0)
    spent = state(emitted_g=10.0, power_w=100.0)
    assert planner.plan(ConstantSignal(100.0), 0.0, spent).reason == "budget spent"
    planner = SweepPlanner(RULES, hours_per_trial=1.0, budget_g=10.0)
    assert planner.plan(ConstantSignal(100.0), 0.0, state(emitted_g=9.0)).reason == "planned"


def test_a_line_describes_the_last_plan():
    planner = SweepPlanner(RULES, hours_per_trial=1.0)
    assert planner.describe("g") == "not started"
    planner.plan(DIRTY_THEN_CLEAN, 0.0, state())
    assert planner.describe("g") == (
        "0 of 0 planned running, 2 paused, next in 4.0 h; 200 g; 10.0 h to the deadline (planned)"
    )
    planner.plan(DIRTY_THEN_CLEAN, 5 * HOUR_S, state(active="a"))
    assert planner.describe("g").startswith("1 of 2 planned running, 1 paused; 100 g; 5.0 h")


@pytest.mark.parametrize(
    "wrong", [{"budget_g": 0.0}, {"hours_per_trial": -1.0}, {"hours_per_trial": math.inf}]
)
def test_impossible_arguments_are_refused(wrong):
    with pytest.raises(BadInput, match="a positive number is needed"):
        SweepPlanner(RULES, **wrong)
