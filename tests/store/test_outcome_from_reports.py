"""A run under way: which results count, and what becomes of them."""

import math

import pytest

from zeus_ray.errors import BadInput
from zeus_ray.records import (
    Knobs,
    PowerProfile,
    StopReason,
    Target,
    TrialReport,
    from_json,
    to_json,
)
from zeus_ray.store.outcome_from_reports import CURVE_POINTS, ActiveRun, same_measurement

TARGET = Target("accuracy", 0.9)
PROFILE = PowerProfile(batch_size=64, gpu="V100", max_power_w=250.0, points=((250.0, 200.0, 10.0),))


def active_run():
    return ActiveRun(Knobs(run_id="1", batch_size=64))


def result(accuracy, iteration=1, **fields):
    report = TrialReport(measured_by="counter", gpu="V100", **fields)
    return {"accuracy": accuracy, "training_iteration": iteration, **report.to_result()}


def test_a_result_counts_once_and_attempts_count_iterations_from_one():
    run = active_run()
    assert not run.update({"accuracy": 0.1}, TARGET)  # not metered
    assert run.update(result(0.1, iteration=2), TARGET)
    assert not run.update(result(0.1, iteration=2), TARGET)
    assert not run.update(result(0.1, iteration=1), TARGET)
    assert run.update(result(0.2, iteration=1, attempt=2), TARGET)
    assert [point.metric for point in run.curve] == [0.1, 0.2]


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "high"])
def test_a_metric_that_is_no_finite_number_leaves_the_best_as_it_is(value):
    run = active_run()
    for iteration, accuracy in enumerate((0.5, value, 0.4), 1):
        run.update(result(accuracy, iteration), TARGET)
    assert [point.metric for point in run.curve] == [0.5, 0.5, 0.5]
    assert run.progress().metric == 0.5


def test_after_the_target_nothing_counts_any_more():
    run = active_run()
    run.update(result(0.95, energy_j=100.0), TARGET)
    run.stop = StopReason.TARGET_REACHED
    assert not run.update(result(0.96, iteration=2, energy_j=200.0), TARGET)
    assert run.ended(TARGET, error=False).outcome.measurement.energy_j == 100.0


def test_epochs_are_counted_by_results_while_their_length_is_not_known():
    run = active_run()
    run.update(result(0.1, iteration=3), TARGET)
    assert run.progress().epoch == 3.0
    run.update(result(0.1, iteration=4, epochs=1.5), TARGET)
    assert run.progress().epoch == 1.5


@pytest.mark.slow
def test_a_long_curve_is_thinned_and_keeps_its_ends():
    run = active_run()
    for iteration in range(1, 3 * CURVE_POINTS):
        run.update(result(0.1, iteration, epochs=float(iteration)), TARGET)
    epochs = [point.epoch for point in run.curve]
    assert len(epochs) <= CURVE_POINTS
    assert epochs == sorted(epochs)
    assert (epochs[0], epochs[-1]) == (1.0, 3.0 * CURVE_POINTS - 1)


def test_a_profile_is_taken_once_and_a_part_of_one_at_the_end():
    run = active_run()
    run.update(result(0.1, profile_so_far=to_json(PROFILE)), TARGET)
    assert run.take_profile() is None
    assert run.take_profile(ended=True) == PROFILE
    run.update(result(0.1, iteration=2, profile=to_json(PROFILE)), TARGET)
    assert run.take_profile() is None  # the same one


def test_a_run_under_way_is_plain_json():
    run = active_run()
    run.update(result(0.1), TARGET)
    run.stop = StopReason.COST_CAP
    assert repr(from_json(ActiveRun, to_json(run))) == repr(run)  # NaN is not equal to itself


@pytest.mark.parametrize(
    ("accuracy", "fields", "error", "reached", "stop"),
    [
        (0.95, {}, False, True, None),
        (0.5, {"target_reached": True}, False, True, None),
        (0.5, {"stop_reason": "cost cap"}, False, False, StopReason.COST_CAP),
        (0.95, {}, True, False, StopReason.ERROR),
    ],
)
def test_how_a_run_ended(accuracy, fields, error, reached, stop):
    run = active_run()
    run.update(result(accuracy, profile=to_json(PROFILE), **fields), TARGET)
    end = run.ended(TARGET, error=error)
    assert (end.outcome.reached, end.outcome.stop) == (reached, stop)
    assert end.report.profile == ""  # it is an event of its own


def test_real_and_simulated_energy_do_not_mix():
    assert same_measurement("", "counter") == same_measurement("real", "power integral") == "real"
    with pytest.raises(BadInput, match="simulated"):
        same_measurement("real", "simulated")
