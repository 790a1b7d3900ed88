"""A run without a search chooses its power limit while it trains: one process, a load that is known."""

import itertools
import json
import math
from dataclasses import replace

import pytest
from runs import ClockedGpu, Loader, own_plan, reported, step_for

from zeus_ray.errors import BadInput, DeviceError, DeviceLost, LeaseRefused
from zeus_ray.records import EmissionsConfig, PowerProfile, StopReason, Target, from_json
from zeus_ray.training.energy_price_over_time import EnergyPriceOverTime
from zeus_ray.training.training_run import TrainingRun

pytestmark = pytest.mark.slow


@pytest.fixture
def gpu(monkeypatch):
    return ClockedGpu().put_on(monkeypatch)


def run_of(gpu, plan=None, **options):
    return TrainingRun(plan or own_plan(), gpu.group(), **options)


def unit_times(report):
    return {p["power_limit_w"]: p["time_per_unit_s"] for p in json.loads(report.unit_profile)}


def cost_over_best(gpu, limits, eta=0.5):
    return sum(gpu.cost(w, eta) for w in limits) / len(limits) / gpu.cost(gpu.best_w(eta), eta)


def assert_true_times(gpu, report, *, units_per_step=1, rel=0.003):
    times = unit_times(report)
    assert len(times) >= 3
    for limit_w, time_s in times.items():
        assert time_s * units_per_step == pytest.approx(gpu.time_s(limit_w), rel=rel)


# --- loops without epochs ----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_loop_without_epochs_settles_at_the_best_limit_and_stays_near_it(gpu):
    gpu.step_s = 0.5
    run = run_of(gpu)
    limits = step_for(run, gpu, 1200)
    report = reported(run)
    assert gpu.cost(report.power_limit_w) <= 1.002 * gpu.cost(gpu.best_w())
    assert cost_over_best(gpu, limits) <= 1.01
    assert run._limit.settled
    assert math.isnan(report.epochs)
    assert (report.unit, report.units, report.profile) == ("steps", len(limits), "")
    assert_true_times(gpu, report)
    assert run.unfinished == ""


def test_it_settles_right_after_the_profile_which_begins_at_the_highest_limit(gpu):
    run = run_of(gpu)
    limits = step_for(run, gpu, 60)
    assert limits[:10] == [300.0] * 10
    assert limits[-1] != min(limits)
    assert gpu.cost(limits[-1]) <= 1.01 * gpu.cost(gpu.best_w())


def test_an_endless_loader_is_no_epoch(gpu):
    run = run_of(gpu)
    for _batch in run.steps(itertools.repeat(None)):
        gpu.work()
        if gpu.now_s > 300:
            break
    report = reported(run)
    assert math.isnan(report.epochs)
    assert_true_times(gpu, report)


def test_with_epochs_the_report_has_a_profile_too(gpu):
    run = run_of(gpu)
    for _ in range(20):
        for _batch in run.steps(Loader(50 * 32, 32)):
            gpu.work()
    report = reported(run)
    profile = from_json(PowerProfile, report.profile)
    assert report.epochs == 20
    for limit_w, power_w, epoch_s in profile.points:
        assert epoch_s == pytest.approx(50 * gpu.time_s(limit_w), rel=0.003)
        assert power_w == pytest.approx(gpu.power_w(limit_w), rel=0.003)


def test_epochs_of_three_steps_have_windows_across_them(gpu):
    run = run_of(gpu)
    for _ in range(300):
        for _batch in run.steps(Loader(3 * 32 + 7, 32)):
            gpu.work()
        gpu.spend(0.1)
    assert_true_times(gpu, reported(run))
    assert gpu.cost(gpu.limit_w) <= 1.01 * gpu.cost(gpu.best_w())


# --- units -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("unit", "per_step"), [("steps", 1), ("samples", 32), ("tokens", 1000)])
def test_energy_and_time_are_per_unit(gpu, unit, per_step):
    run = run_of(gpu, own_plan(unit=unit))
    for _ in range(600):
        with run.step(tokens=1000):
            gpu.work()
    report = reported(run)
    assert (report.unit, report.units) == (unit, 600 * per_step)
    assert report.energy_per_unit_j == pytest.approx(gpu.energy_j / 600 / per_step)
    assert report.time_per_unit_s == pytest.approx(gpu.now_s / 600 / per_step)
    assert_true_times(gpu, report, units_per_step=per_step)


@pytest.mark.slow
def test_steps_of_different_length_are_compared_per_token(gpu):
    run = run_of(gpu, own_plan(unit="tokens"))
    lengths = itertools.cycle([500, 1500, 1000])
    for batch in run.steps(lengths, tokens=lambda length: length):
        gpu.work(batch / 1000)
        if gpu.now_s > 600:
            break
    assert_true_times(gpu, reported(run), units_per_step=1000)


def test_tokens_that_nobody_counts_are_refused_with_the_remedy(gpu):
    run = run_of(gpu, own_plan(unit="tokens"))
    with pytest.raises(BadInput, match=r"run\.step\(tokens=.*tokens=lambda batch"), run.step():
        gpu.work()


# --- steps that belong in no window ------------------------------------------------------------------


@pytest.mark.parametrize("slow", [(1_500.0, 1_500.0), (30.0,), (10.0, 0.2, 20.0)])
def test_compilation_is_in_no_window(gpu, slow):
    run, first = run_of(gpu), iter(slow)

    def work():
        gpu.work()
        gpu.spend(next(first, 0.0), 60.0)

    step_for(run, gpu, 300 + sum(slow), work)
    assert_true_times(gpu, reported(run))


@pytest.mark.parametrize("way", ["not said", "evaluating", "pause", "between steps"])
def test_an_evaluation_is_in_no_window(gpu, way):
    run = run_of(gpu)
    for number in range(600):
        with run.step():
            gpu.work()
            if number % 50 == 49 and way == "evaluating":
                with run.evaluating():
                    gpu.spend(7.0)
            if number % 50 == 49 and way == "pause":
                run.pause()
                gpu.spend(7.0)
            if number % 50 == 49 and way == "not said":
                gpu.spend(7.0)
        if number % 50 == 49 and way == "between steps":
            gpu.spend(7.0)
    report = reported(run)
    assert_true_times(gpu, report)
    for point in json.loads(report.unit_profile):
        assert point["average_power_w"] == pytest.approx(gpu.power_w(point["power_limit_w"]), rel=0.005)


def test_a_step_that_raises_is_not_trained(gpu):
    run = run_of(gpu)
    with pytest.raises(KeyError), run.step():
        raise KeyError
    step_for(run, gpu, 1)
    assert run._clock.samples == 32 * 5


class QueueingGpu(ClockedGpu):
    """Work is queued: a step takes the processor 2 ms; each tenth waits for the GPU (``loss.item()``)."""

    done_s, steps = 0.0, 0

    def work(self, steps=1.0):
        self.now_s += 0.002
        took_s = steps * self.time_s(self.limit_w)
        self.done_s = max(self.done_s, self.now_s) + took_s
        self.energy_j += took_s * self.power_w(self.limit_w)
        self.steps += 1
        if self.steps % 10 == 0:
            self.finish()

    def finish(self):
        self.now_s = max(self.now_s, self.done_s)


def test_steps_that_run_ahead_of_the_gpu_are_timed_on_it(monkeypatch):
    gpu = QueueingGpu(step_s=0.05).put_on(monkeypatch)
    monkeypatch.setattr("zeus_ray.training.online_limit.measure_rank_window.runs_ahead", lambda: True)
    run = run_of(gpu)
    run._clock.finish = gpu.finish
    step_for(run, gpu, 200)
    assert_true_times(gpu, reported(run), rel=0.01)
    assert gpu.cost(gpu.limit_w) <= 1.01 * gpu.cost(gpu.best_w())


# --- it goes on --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_load_that_changes_is_profiled_again(gpu):
    run = run_of(gpu)
    step_for(run, gpu, 400)
    gpu.step_s, gpu.uncapped_w = 0.5, 160.0
    step_for(run, gpu, 300)
    assert gpu.cost(gpu.limit_w) <= 1.01 * gpu.cost(gpu.best_w())
    limits = step_for(run, gpu, 300)
    assert cost_over_best(gpu, limits) <= 1.01


@pytest.mark.slow
def test_the_limit_follows_a_price(gpu):
    run = run_of(gpu)
    step_for(run, gpu, 600)
    usual_w = gpu.limit_w
    run.set_energy_price(0.0)
    step_for(run, gpu, 60)
    assert gpu.limit_w == 300 > usual_w
    run.set_energy_price(20.0)
    step_for(run, gpu, 300)
    assert gpu.limit_w < usual_w
    with pytest.raises(BadInput, match="NaN"):
        run.set_energy_price(math.nan)


def test_the_price_is_the_signals_over_its_mean_asked_again_in_time(tmp_path):
    began_s, hours = 1_700_000_000, [100] * 50 + [300] * 4
    rows = "".join(f"{began_s + 3600 * h},{value}\n" for h, value in enumerate(hours))
    (tmp_path / "grid.csv").write_text("time,value\n" + rows)
    emissions = EmissionsConfig(signal=f"csv:{tmp_path / 'grid.csv'}")
    now = [began_s + 49 * 3600.0]
    price = EnergyPriceOverTime(replace(own_plan(), emissions=emissions), clock=lambda: now[0])
    assert price.now() == pytest.approx(1)
    now[0] += 600
    assert price.now() == pytest.approx(1)
    now[0] += 3600
    assert 2.5 < price.now() < 3
    price.set(0.5)
    now[0] += 3600
    assert price.now() == 0.5
    unknown = replace(emissions, signal="csv:/nowhere.csv")
    assert EnergyPriceOverTime(replace(own_plan(), emissions=unknown)).now() == 1


@pytest.mark.slow
@pytest.mark.parametrize("bound", [1.03, 1.1])
def test_a_slow_down_is_kept(gpu, bound):
    run = run_of(gpu, own_plan(max_slowdown=bound))
    limits = step_for(run, gpu, 600)
    slow = sum(map(gpu.time_s, limits)) / len(limits) / gpu.time_s(300)
    assert 1 < slow <= bound + 0.01
    assert reported(run).slowdown == pytest.approx(slow, abs=0.005)


def test_a_power_budget_is_kept(gpu):
    run = run_of(gpu, own_plan(power_budget_w=180.0, eta=0.1))
    assert max(step_for(run, gpu, 300)[1:]) == 175
    with pytest.raises(BadInput, match="add up to 100 W"), run_of(gpu, own_plan(power_budget_w=90.0)).step():
        pass


# --- ends --------------------------------------------------------------------------------------------


def test_a_cost_cap_ends_a_loop_without_epochs(gpu):
    run = run_of(gpu, own_plan(cost_cap=100_000.0))
    step_for(run, gpu, 36_000)
    report = reported(run)
    assert (run.stop, report.stop_reason) == (StopReason.COST_CAP, "cost cap")
    assert report.cost == pytest.approx(100_000, rel=0.05)


@pytest.mark.parametrize(("seconds", "complete"), [(12, False), (120, True)])
def test_a_target_reached_during_the_profile_is_said(gpu, seconds, complete):
    run = run_of(gpu, own_plan(target=Target("accuracy", 0.9)))
    step_for(run, gpu, seconds)
    report = reported(run, accuracy=0.95)
    assert run.stop == StopReason.TARGET_REACHED
    measured = len(json.loads(report.unit_profile))
    assert (run.unfinished == "") is complete
    if not complete:
        assert f"is not complete: {measured} of 9 limits were measured" in run.unfinished


# --- limits that cannot be set -----------------------------------------------------------------------


@pytest.mark.parametrize("error", [DeviceError("unknown error"), LeaseRefused("held at 200 W")])
def test_a_limit_that_is_refused_later_leaves_the_run_at_the_one_it_has(gpu, caplog, error):
    run = run_of(gpu)
    step_for(run, gpu, 8)
    gpu.refuses, before_w = error, gpu.limit_w
    step_for(run, gpu, 120)
    assert caplog.text.count(f"no power limit is chosen any more: {error}") == 1
    assert gpu.limit_w == before_w
    assert len(json.loads(reported(run).unit_profile)) >= 1


def test_a_gpu_that_is_lost_ends_the_run(gpu):
    run = run_of(gpu)
    gpu.refuses = DeviceLost("fell off the bus")
    with pytest.raises(DeviceLost):
        step_for(run, gpu, 10)


def test_a_limit_that_someone_else_sets_is_theirs(gpu, caplog):
    run = run_of(gpu)
    step_for(run, gpu, 120)
    gpu.limit_w, gpu.others_set, before = 222.0, True, len(gpu.set_w)
    step_for(run, gpu, 120)
    assert len(gpu.set_w) == before
    assert caplog.text.count("someone else has set the power limit") == 1


def test_a_gpu_that_is_silent_for_a_while_is_profiled_after_it(gpu):
    run = run_of(gpu)
    gpu.readable = False
    step_for(run, gpu, 30)
    gpu.readable = True
    step_for(run, gpu, 200)
    assert gpu.cost(gpu.limit_w) <= 1.01 * gpu.cost(gpu.best_w())


def test_a_fixed_limit_is_held_and_measured(gpu):
    plan = own_plan()
    plan = replace(plan, knobs=replace(plan.knobs, power_limit_w=200.0))
    run = run_of(gpu, plan)
    assert set(step_for(run, gpu, 120)) == {200.0}
    assert unit_times(reported(run)) == pytest.approx({200.0: gpu.time_s(200)})
    assert reported(run).profile == ""
    with pytest.raises(BadInput, match="outside the GPU's range"):
        run_of(gpu, replace(plan, knobs=replace(plan.knobs, power_limit_w=2000.0)))


# --- loops that do not tell their steps --------------------------------------------------------------


def test_between_reports_each_interval_is_a_window(gpu):
    run, limits = run_of(gpu), []
    for _ in range(12):
        gpu.work(300)
        limits.append(gpu.limit_w)
        report = reported(run)
    assert report.epochs == 12
    assert gpu.cost(limits[-1]) <= 1.01 * gpu.cost(gpu.best_w())
    assert len(from_json(PowerProfile, report.profile).points) >= 3
