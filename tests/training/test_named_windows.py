"""Named windows of a run: nested, overlapping, repeated; and what they leave alone."""

import json
import logging
import math

import pytest
from runs import NO_GPU, ClockedGpu, Loader, leased, plan, reported, train

from zeus_ray.errors import BadInput
from zeus_ray.gpus.simulated_gpu import SimulatedGpu
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.records import from_json
from zeus_ray.records.window_usage import WindowUsage, windows_from_json
from zeus_ray.training.leased_gpu_group import GpuGroup, LeasedGpu
from zeus_ray.training.training_run import TrainingRun


@pytest.fixture
def make_group(tmp_path):
    managers = []

    def make():
        gpu = SimulatedGpu.open("V100", len(managers))
        managers.append(LeaseManager(gpu, state_dir=tmp_path / "state", watchdog=False))
        return leased(managers[-1])

    yield make
    for manager in managers:
        manager.close()


@pytest.fixture
def clocked():
    gpu = ClockedGpu(step_s=0.2)
    return gpu, TrainingRun(plan(), GpuGroup([LeasedGpu(gpu, gpu.lease)]))


def test_nested_and_repeated_windows_count_all_they_span(clocked):
    gpu, run = clocked
    for _ in range(3):
        with run.window("step"):
            with run.window("forward"):
                gpu.work()
            gpu.work()
    assert run.windows["forward"].count == run.windows["step"].count == 3
    assert run.windows["forward"].time_s == pytest.approx(0.6)
    assert run.windows["step"].energy_j == pytest.approx(2 * run.windows["forward"].energy_j)
    assert run.windows["step"].energy_j == pytest.approx(gpu.energy_j)


def test_overlapping_windows(clocked):
    gpu, run = clocked
    run.begin_window("load")
    gpu.work()
    run.begin_window("train")
    gpu.work()
    assert run.end_window("load").time_s == pytest.approx(0.4)
    gpu.work()
    assert run.end_window("train").time_s == pytest.approx(0.4)


def test_the_windows_are_in_results(clocked):
    gpu, run = clocked
    assert reported(run).windows == ""
    with run.window("forward"):
        gpu.work()
    found = json.loads(reported(run).windows)["forward"]
    assert from_json(WindowUsage, json.dumps(found)) == run.windows["forward"]


def test_a_result_says_of_what_energy_its_windows_are_a_part(clocked):
    gpu, run = clocked
    gpu.work()
    with run.window("forward"):
        gpu.work()
    report = reported(run)
    reread = windows_from_json(report.windows)["forward"]
    assert reread.energy_j / reread.run_energy_j == pytest.approx(0.5)
    assert reread.run_energy_j == report.energy_j
    assert windows_from_json("no json") == windows_from_json('["a"]') == windows_from_json("") == {}


def test_a_window_waits_for_queued_work_only_where_asked(clocked):
    _gpu, run = clocked
    waits = []
    run._windows._finish = lambda: waits.append(1)
    with run.window("forward"):
        pass
    assert waits == []
    with run.window("forward", synchronize=True):
        pass
    assert waits == [1, 1]


def test_an_error_within_closes_the_window(clocked):
    gpu, run = clocked
    with pytest.raises(ZeroDivisionError), run.window("forward"):
        gpu.work(1 / 0)
    assert run.windows["forward"].count == 1


def test_bad_uses_are_refused(clocked):
    _gpu, run = clocked
    with pytest.raises(BadInput, match="'forward' is open"), run.window("forward"):
        run.begin_window("forward")
    with pytest.raises(BadInput, match="has not begun; open: none"):
        run.end_window("backward")
    with pytest.raises(BadInput, match="not empty"):
        run.begin_window("")


def test_a_simulated_run_is_the_same_with_windows(make_group):
    plain, windowed = (TrainingRun(plan(), make_group()) for _ in range(2))
    train(plain, 2)
    for _ in range(2):
        with windowed.window("epoch"):
            train(windowed, 1)
    assert reported(windowed).energy_j == pytest.approx(reported(plain).energy_j)
    assert windowed.windows["epoch"].energy_j == pytest.approx(reported(plain).energy_j)


def test_a_window_within_a_step_of_a_simulated_gpu_says_that_it_shows_nothing(make_group, caplog):
    run = TrainingRun(plan(), make_group())
    with caplog.at_level(logging.WARNING, "zeus_ray"):
        for _batch in run.steps(Loader(1000, 100)):
            with run.window("forward"):
                pass
    assert caplog.text.count("time on a simulated GPU passes with whole steps") == 1


def test_without_a_gpu_energy_is_unknown_and_time_is_measured():
    run = TrainingRun(plan(), NO_GPU)
    with run.window("forward"):
        pass
    assert math.isnan(run.windows["forward"].energy_j)
    assert run.windows["forward"].time_s >= 0
