"""What cannot be measured or set is left out and said once; the run goes on."""

import dataclasses
import math
from dataclasses import replace

import pytest
from runs import LIMITS_W, NO_GPU, leased, own_plan, plan, reported, train

import zeus_ray as zeus
from zeus_ray.errors import BadInput, DeviceError, DeviceLost, LeaseRefused, NoPermission, NotSupported
from zeus_ray.gpus.simulated_gpu import SimulatedGpu
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.records import Knobs, Plan, PowerProfile, StopReason, Target, TrialReport, from_json
from zeus_ray.training.leased_gpu_group import GpuGroup
from zeus_ray.training.session import open_session
from zeus_ray.training.training_run import TrainingRun
from zeus_ray.training.where_run_leases_and_reports import RunContext


@pytest.fixture
def two_gpus(tmp_path):
    managers = [
        LeaseManager(SimulatedGpu.open("V100", i), state_dir=tmp_path / str(i), watchdog=False)
        for i in (0, 1)
    ]
    yield managers
    for manager in managers:
        manager.close()


def failing(error):
    def fail(*_arguments):
        raise error

    return fail


def without_range(group):
    group.leases = tuple(dataclasses.replace(lease, range=None) for lease in group.leases)
    return group


# --- GPUs that are sick ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [DeviceError("unknown error"), NotSupported("no counter"), NoPermission("no")]
)
def test_a_gpu_that_cannot_be_read_leaves_the_energy_unknown_and_the_run_goes_on(
    two_gpus, monkeypatch, caplog, error
):
    run = TrainingRun(plan(), leased(*two_gpus))
    train(run, 1)
    monkeypatch.setattr(two_gpus[1], "read", failing(error))
    run._clock.read()
    report = reported(run)
    assert report.epochs == 1
    assert math.isnan(report.energy_j)
    assert report.time_s > 0
    assert caplog.text.count("SIM-V100-1 cannot be read") == 1
    monkeypatch.undo()
    assert reported(run).energy_j > 0  # it answers again


def test_a_gpu_that_is_lost_ends_the_run(two_gpus, monkeypatch):
    run = TrainingRun(plan(), leased(*two_gpus))
    monkeypatch.setattr(two_gpus[1], "read", failing(DeviceLost("fell off the bus")))
    with pytest.raises(DeviceLost):
        run.report({})


@pytest.mark.parametrize(
    "error", [DeviceError("timeout"), NotSupported("a laptop"), NoPermission("not root")]
)
def test_a_limit_that_the_gpu_does_not_take_is_said_and_the_run_goes_on(manager, monkeypatch, caplog, error):
    monkeypatch.setattr(manager, "set_limit", failing(error))
    run = TrainingRun(plan(power_limit_w=150.0), leased(manager))
    train(run, 2)
    assert reported(run).epochs == 2
    assert caplog.text.count(f"150 W are not set, the run goes on without: {error}") == 1


@pytest.mark.parametrize("error", [LeaseRefused("held at 200 W"), BadInput("outside of 100 to 250")])
def test_a_limit_that_is_wrong_is_an_error(manager, monkeypatch, error):
    monkeypatch.setattr(manager, "set_limit", failing(error))
    with pytest.raises(type(error)):
        TrainingRun(plan(power_limit_w=150.0), leased(manager))


@pytest.mark.parametrize(
    "knobs", [{"power_limit_w": 150.0}, {"probe_limits_w": LIMITS_W}, {"probe_limits_w": None}]
)
def test_no_limit_is_set_where_the_range_is_unknown(gpu, group, knobs):
    found_w = gpu.power_limit_w()
    run = TrainingRun(plan(**knobs), without_range(group))
    assert "accepts are not known" in run.note
    train(run, 3)
    report = reported(run)
    assert (report.epochs, report.power_limit_w, report.profile) == (3, found_w, "")
    assert report.energy_j > 0


@pytest.mark.parametrize("error", [DeviceError("unknown error"), NotSupported("a MIG slice")])
def test_a_session_whose_gpu_cannot_be_leased_trains_unmeasured_and_says_why(monkeypatch, caplog, error):
    monkeypatch.setattr(RunContext, "lease", failing(error))
    with zeus.session(batch_size=100) as run:
        train(run, 2)
        report = reported(run)
    assert (report.measured_by, report.epochs) == ("none", 2)
    assert f"not measured, and no limit is set: {error}" in caplog.text


def test_a_gpu_that_another_trial_holds_for_itself_is_an_error(monkeypatch):
    monkeypatch.setattr(RunContext, "lease", failing(LeaseRefused("held")))
    with pytest.raises(LeaseRefused), zeus.session(batch_size=100):
        pass


# --- profiles that are not complete ------------------------------------------------------------------


@pytest.fixture
def simulated(state_dir, monkeypatch):  # noqa: ARG001 — which unsets the variable first
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")


@pytest.mark.usefixtures("simulated")
@pytest.mark.parametrize("epochs", [0, 1, 3])
def test_an_unfinished_profile_is_said_at_the_end_with_the_remedy(caplog, epochs):
    with zeus.session(batch_size=100, window_s=2.0) as run:
        train(run, epochs, samples=600)
    assert caplog.text.count("is not complete") == 1
    assert "a shorter window_s" in caplog.text


@pytest.mark.slow
@pytest.mark.usefixtures("simulated")
def test_a_complete_profile_and_one_that_was_not_wanted_are_not_said(caplog):
    with zeus.session(batch_size=100, window_s=0.2) as run:
        train(run, 20)
    for options in ({"power_limits_w": ()}, {"power_limit_w": 150.0}):
        with zeus.session(batch_size=100, **options) as run:
            train(run, 1)
    assert caplog.text == ""


def test_a_target_reached_during_the_profile_is_said(group, caplog):
    context = type("Context", (RunContext,), {"lease": lambda *_: group})()
    given = plan(probe_limits_w=LIMITS_W, target=Target("accuracy", 0.9))
    with open_session(given, context, window_s=5.0) as run:
        train(run, 1, samples=1_500)
        report = reported(run, accuracy=0.95)
    points = from_json(PowerProfile, report.profile).points
    assert 1 <= len(points) < len(LIMITS_W)
    assert f"{len(points)} of {len(LIMITS_W)} limits were measured" in caplog.text


@pytest.mark.parametrize(("reports", "limits"), [(10, 21), (8, 13), (7, 5), (4, 3)])
def test_fewer_reports_than_limits_profile_fewer_limits(gpu, group, caplog, reports, limits):
    low, high = gpu.range.min_w, gpu.range.max_w
    wanted = tuple(high - i * (high - low) / (limits - 1) for i in range(limits))
    run = TrainingRun(plan(probe_limits_w=wanted), group)
    rows = [reported(run) for _ in range(reports)]
    profile = from_json(PowerProfile, rows[-1].profile)
    measured = [point.power_limit_w for point in profile.points]
    assert measured[0] == high
    assert measured[-1] == low
    assert len(measured) == min(5, limits)
    assert caplog.text.count("one limit each") == (limits > 5)
    assert run.unfinished == ""


@pytest.mark.parametrize("reports", [1, 2, 4])
def test_too_few_reports_for_any_profile_are_said(group, reports):
    run = TrainingRun(plan(probe_limits_w=LIMITS_W), group)
    for _ in range(reports):
        run.report({})
    assert f"{reports - 1} of 4 limits were measured, over a report interval each" in run.unfinished
    assert "run.steps(loader)" in run.unfinished


# --- functions that do not tell their steps ----------------------------------------------------------


@pytest.mark.parametrize("knobs", [{}, {"probe_limits_w": LIMITS_W}, {"power_limit_w": 150.0}])
@pytest.mark.parametrize("planned", [plan, own_plan])
def test_the_first_interval_counts_like_any_other(group, monkeypatch, planned, knobs):
    now = [1_000.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    run = TrainingRun(replace(planned(), knobs=Knobs(run_id="", batch_size=100, **knobs)), group)
    used, limits = [], []
    for _ in range(3):
        limits.append(group.read().power_limit_w)
        now[0] += 60.0
        used.append(reported(run))
    first, second, third = used
    assert first.energy_j > 60 * 50
    assert first.epochs == 1
    if limits[0] == limits[1]:
        assert second.energy_j == pytest.approx(2 * first.energy_j)
        assert second.time_s == pytest.approx(2 * first.time_s)
    assert third.energy_j > second.energy_j


def test_the_loop_of_a_framework_counts_no_intervals(group):
    run = TrainingRun(plan(probe_limits_w=LIMITS_W), group)
    run.count_steps()
    assert math.isnan(reported(run).epochs)  # an evaluation before the first step
    train(run, 1)
    assert reported(run).epochs == 1


# --- accumulation and evaluation ---------------------------------------------------------------------


@pytest.mark.usefixtures("simulated")
def test_a_script_that_accumulates_says_so_and_costs_the_same():
    energies_j = {}
    for parts in (1, 2, 4):
        with zeus.session(batch_size=100, accumulate=parts, power_limits_w=()) as run:
            train(run, 2, samples=5_000, batch_size=run.micro_batch_size)
            report = reported(run)
        assert (report.epochs, report.accumulate) == (2, parts)
        energies_j[parts] = report.energy_j
    assert len({round(energy_j, 6) for energy_j in energies_j.values()}) == 1


@pytest.mark.parametrize("parts", [3, 0, 2.0])
def test_a_batch_size_that_cannot_be_divided_is_refused(parts):
    with pytest.raises(BadInput, match="divides the batch size 100"):
        zeus.session(batch_size=100, accumulate=parts)


def test_another_accumulation_than_the_searchs_is_refused():
    config = {"zeus": Plan(knobs=Knobs(run_id="1", batch_size=100, accumulate=2)).to_config()}
    with pytest.raises(BadInput, match="the search has set 2"):
        zeus.session(config, accumulate=4)
    with pytest.raises(BadInput, match="the search has set 2"):
        zeus.session(config, accumulate=1)


class WallGpu(GpuGroup):
    """A GPU whose time the test moves, at 100 W."""

    def __init__(self, group):
        super().__init__(())
        self.leases = tuple(dataclasses.replace(lease, virtual=False) for lease in group.leases)
        self.now_s, self.limit_w = 0.0, 250.0

    def read(self):
        read = super()._wall_reading()
        return dataclasses.replace(
            read, energy_j=100 * self.now_s, time_s=self.now_s, power_limit_w=self.limit_w, energy_j_err=0.0
        )

    def set_limit(self, limit_w):
        self.limit_w = limit_w
        return self.read()


@pytest.fixture
def wall(group, monkeypatch):
    wall = WallGpu(group)
    monkeypatch.setattr("time.perf_counter", lambda: wall.now_s)
    return wall


def profiled(wall, loop):
    run = TrainingRun(plan(probe_limits_w=(250.0, 100.0)), wall, window_s=5.0, settle_s=1.0)
    loop(run)
    run.report({})
    return {p.power_limit_w: p.time_per_epoch_s for p in run._limit.profile.points}


@pytest.mark.parametrize("slow", [(1_500.0, 1_500.0), (30.0,), (10.0, 0.2, 20.0)])
def test_slow_first_steps_are_in_no_window(wall, slow):
    def loop(run):
        steps = iter(slow)
        for _epoch in range(3):
            for _batch in run.steps([None] * 50):
                wall.now_s += next(steps, 0.1)

    assert profiled(wall, loop) == pytest.approx({250.0: 5.0, 100.0: 5.0})


@pytest.mark.parametrize("way", ["evaluating", "pause", "pause and resume", "between"])
def test_an_evaluation_is_in_no_window(wall, way):
    def loop(run):
        for _epoch in range(4):
            for number, _batch in enumerate(run.steps([None] * 50)):
                wall.now_s += 0.1
                if way == "between" or number % 10:
                    continue
                if way == "evaluating":
                    with run.evaluating():
                        wall.now_s += 7.0
                else:
                    run.pause()
                    wall.now_s += 7.0
                    if way != "pause":
                        run.resume()
            wall.now_s += 7.0
            run.report({})

    assert profiled(wall, loop) == pytest.approx({250.0: 5.0, 100.0: 5.0})


def test_an_evaluation_that_fails_is_left_as_it_is(wall):
    run = TrainingRun(plan(), wall)
    with pytest.raises(KeyError), run.evaluating():
        raise KeyError
    assert run.stop is None


def test_a_run_without_steps_or_gpu_is_out_of_memory_as_any(caplog):
    run = TrainingRun(plan(target=Target("accuracy", 0.9)), NO_GPU)
    run.out_of_memory(RuntimeError("CUDA out of memory"))
    assert run.stop == StopReason.OUT_OF_MEMORY
    assert TrialReport.from_result(run.measure({})).stop_reason == "out of memory"
    assert caplog.text == ""
