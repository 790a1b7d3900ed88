"""The power limit of a run: given, known to be best, or profiled while the run trains."""

import dataclasses

import pytest
from runs import LIMITS_W, leased, plan, reported, train

from zeus_ray.errors import BadInput
from zeus_ray.records import Knobs, Plan, PowerProfile, StopReason, from_json
from zeus_ray.search import power_limit as power
from zeus_ray.training.training_run import TrainingRun


def profile_of(report):
    return from_json(PowerProfile, report.profile)


def limits_of(profile):
    return [point.power_limit_w for point in profile.points]


def test_a_given_limit_is_set_and_the_limit_found_is_restored(gpu, group):
    found_w = gpu.power_limit_w()
    TrainingRun(plan(power_limit_w=150.0), group)
    assert gpu.power_limit_w() == 150.0
    group.release()
    assert gpu.power_limit_w() == found_w


def test_the_limit_is_lower_while_energy_is_expensive(gpu, group):
    """η = 0.1 and nine times the price weigh energy as much as time: η' = 0.5."""
    points = tuple((w, 0.9 * w, 10.0 * (1 + 25 / w)) for w in LIMITS_W)
    known = PowerProfile(batch_size=100, gpu=group.gpu, max_power_w=300.0, points=points)
    for price, eta in ((1.0, 0.1), (9.0, 0.5)):
        priced = dataclasses.replace(plan(), eta=0.1, profiles=(known,), energy_price=price)
        TrainingRun(priced, group)
        assert gpu.power_limit_w() == power.optimal_limit_w(known, eta=eta, max_power_w=300.0)
    assert gpu.power_limit_w() < power.optimal_limit_w(known, eta=0.1, max_power_w=300.0)


def test_with_no_limit_and_nothing_to_probe_the_limit_is_unchanged(gpu, group):
    found_w = gpu.power_limit_w()
    run = TrainingRun(plan(), group)
    train(run, 2)
    assert gpu.power_limit_w() == found_w
    assert reported(run).profile == ""


def test_limits_are_profiled_in_the_given_order_and_the_best_is_set(gpu, group):
    order, seen = (150.0, 250.0, 100.0, 200.0), []
    run = TrainingRun(plan(probe_limits_w=order), group, window_s=2.0, settle_s=0.5)
    for _ in range(200):
        if reported(run).profile:
            break
        seen += [gpu.power_limit_w()] * (gpu.power_limit_w() not in seen)
        train(run, 1, samples=300)
    assert tuple(seen) == order
    run = TrainingRun(plan(probe_limits_w=LIMITS_W), group, window_s=2.0, settle_s=0.5)
    train(run, 20)
    profile = profile_of(reported(run))
    assert limits_of(profile) == list(LIMITS_W)
    best_w = power.optimal_limit_w(profile, eta=0.5, max_power_w=profile.max_power_w, gpus=1)
    assert gpu.power_limit_w() == best_w


def test_a_profile_agrees_with_the_gpu(gpu, group):
    run = TrainingRun(plan(probe_limits_w=LIMITS_W), group, window_s=5.0, settle_s=1.0)
    train(run, 30, samples=10_000)
    for limit_w, _power_w, epoch_s in profile_of(reported(run)).points:
        gpu.set_power_limit_w(limit_w)
        assert epoch_s == pytest.approx(10_000 * gpu.time_per_sample_s(100), rel=0.05)


def test_a_window_continues_across_the_end_of_a_short_epoch(group):
    run = TrainingRun(plan(probe_limits_w=LIMITS_W), group, window_s=3.0, settle_s=0.0)
    train(run, 1, samples=300)
    assert reported(run).profile == ""  # far less than a window so far
    train(run, 300, samples=300)
    assert len(profile_of(reported(run)).points) == len(LIMITS_W)


def test_a_known_profile_of_this_kind_of_gpu_is_not_measured_again(gpu, group):
    points = ((250.0, 240.0, 10.0), (100.0, 95.0, 10.5))
    known = PowerProfile(batch_size=100, gpu=gpu.name, max_power_w=250.0, points=points)
    other = PowerProfile(batch_size=100, gpu="another card", max_power_w=250.0, points=points[:1])
    TrainingRun(Plan(knobs=Knobs(run_id="1", batch_size=100), profiles=(other, known)), group)
    assert gpu.power_limit_w() == 100.0


def test_a_profile_that_an_earlier_run_did_not_complete_is_continued(gpu, group):
    points = ((150.0, 140.0, 10.0),)
    part = PowerProfile(batch_size=100, gpu=group.gpu, max_power_w=250.0, points=points)
    run = TrainingRun(dataclasses.replace(plan(probe_limits_w=(250.0, 100.0)), profiles=(part,)), group)
    reports, limits = [], []
    for _ in range(3):  # no steps: one limit per report, and the first report only begins a window
        limits.append(gpu.power_limit_w())
        reports.append(reported(run))
    assert limits[1:] == [250.0, 100.0]
    assert from_json(PowerProfile, reports[0].profile_so_far) == part
    assert len(from_json(PowerProfile, reports[1].profile_so_far).points) == 2
    assert reports[-1].profile_so_far == ""
    whole = profile_of(reports[-1])
    assert limits_of(whole) == [250.0, 150.0, 100.0]
    assert gpu.power_limit_w() == power.optimal_limit_w(whole, eta=0.5, max_power_w=250.0, gpus=1)


def test_a_limit_outside_the_range_of_the_gpu_is_refused_with_the_range(group):
    with pytest.raises(BadInput, match=r"100 to 250|100 to 300|range"):
        TrainingRun(plan(probe_limits_w=(1.0,)), group)


def test_a_run_that_is_only_a_profile_stops_after_it(group):
    run = TrainingRun(plan(probe_limits_w=LIMITS_W, cost_cap=0.0), group, window_s=1.0, settle_s=0.0)
    train(run, 100)
    report = reported(run)
    assert run.stop == StopReason.PROFILED
    assert len(profile_of(report).points) == len(LIMITS_W)


def test_a_function_that_does_not_tell_its_steps_probes_one_limit_per_report(gpu, group):
    run = TrainingRun(plan(probe_limits_w=LIMITS_W), group, settle_s=0.0)
    limits = [run.report({}) and gpu.power_limit_w() for _ in range(len(LIMITS_W))]
    assert limits == list(LIMITS_W)
    last = reported(run)
    assert last.epochs == len(LIMITS_W) + 1
    assert len(profile_of(last).points) == len(LIMITS_W)


def test_a_run_that_may_set_no_limit_says_why_and_trains(gpu, manager):
    group = leased(manager, control="off")
    run = TrainingRun(plan(probe_limits_w=LIMITS_W), group)
    assert "power control is off" in run.note
    train(run, 2)
    assert reported(run).profile == ""
    assert gpu.power_limit_w() == reported(run).power_limit_w
