"""A run on a simulated GPU: its steps, epochs, reports, and when it stops."""

import math

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from runs import NO_GPU, Loader, leased, plan, reported, train

from zeus_ray.errors import BadInput
from zeus_ray.gpus.energy.bounded_power_trace import PowerTrace
from zeus_ray.gpus.simulated_gpu import SimulatedGpu
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.records import StopReason, Target, TrialReport
from zeus_ray.training.leased_gpu_group import GpuGroup
from zeus_ray.training.training_run import TrainingRun


def test_the_cost_cap_stops_a_run_between_two_epochs_and_within_one(group):
    uncapped = TrainingRun(plan(), group)
    train(uncapped, 1, samples=100_000)
    cap = reported(uncapped).cost * 3.4
    run = TrainingRun(plan(cost_cap=cap), group)
    train(run, 10, samples=100_000)
    report = reported(run)
    assert run.stop == StopReason.COST_CAP
    assert report.stop_reason == "cost cap"
    assert report.cost == pytest.approx(cap, rel=0.2)


@pytest.mark.parametrize(
    ("mode", "values", "stop"),
    [
        ("max", [0.1, 0.9], StopReason.TARGET_REACHED),
        ("max", [0.1, 0.89], None),
        ("max", [math.nan, math.nan], None),
        ("min", [0.95, 0.9], StopReason.TARGET_REACHED),
        ("min", [math.inf, math.nan], None),
    ],
)
def test_reaching_the_target_stops(group, mode, values, stop):
    run = TrainingRun(plan(target=Target("metric", 0.9, mode)), group)
    for value in values:
        train(run, 1)
        report = reported(run, metric=value)
    assert run.stop == stop
    assert report.target_reached == (stop is not None)
    assert math.isnan(report.cost_to_target) == (stop is None)


def test_a_stop_reason_is_kept_though_the_training_loop_has_not_ended(group):
    uncapped = TrainingRun(plan(), group)
    train(uncapped, 1)
    run = TrainingRun(plan(target=Target("metric", 0.9), cost_cap=10 * reported(uncapped).cost), group)
    run.report({"metric": 1.0})
    for _ in range(1_000):  # a loop of a framework that looks at `stop` later; the cost is checked meanwhile
        run.before_step()
        run.after_step()
        assert run.stop == StopReason.TARGET_REACHED


def test_every_key_is_in_the_first_report_and_the_metrics_are_unchanged(group):
    result = TrainingRun(plan(), group).report({"metric": 1.0, "zeus": "mine"})
    assert set(TrialReport().to_result()) < set(result)
    assert result["metric"] == 1.0
    assert result["zeus"] == "mine"
    assert result["zeus/measured_by"] == "simulated"


def test_without_a_gpu_time_is_wall_time_and_the_rest_is_nan():
    run = TrainingRun(plan(probe_limits_w=None), GpuGroup([], why_none="no NVIDIA driver"))
    train(run, 2)
    report = reported(run)
    assert run.note == "no NVIDIA driver"
    assert report.measured_by == "none"
    for unknown in (report.energy_j, report.power_limit_w, report.carbon_g, report.price):
        assert math.isnan(unknown)
    assert report.time_s > 0
    assert report.epochs == 2


@examples(30)
@given(
    samples=st.integers(1, 2_000),
    batch_size=st.integers(1, 300),
    count=st.integers(1, 4),
)
def test_epochs_are_passes_over_the_loader_for_any_batch_size(samples, batch_size, count):
    run = TrainingRun(plan(batch_size), NO_GPU)
    train(run, count, samples=samples, batch_size=batch_size)
    assert reported(run).epochs == pytest.approx(count)


def test_accumulated_batches_are_one_step_of_the_whole_batch_size(group):
    run = TrainingRun(plan(100, accumulate=4), group)
    assert run.micro_batch_size == 25
    ends = [run.step_ends for _batch in run.steps(Loader(1_010, 25))]
    assert ends == [False, False, False, True] * 10 + [True]  # the last one, of ten samples, is a step too
    report = reported(run)
    assert (report.epochs, report.batch_size, report.accumulate) == (1, 100, 4)


def test_the_same_samples_cost_the_same_accumulated_or_at_once(group):
    energies_j = []
    for parts in (1, 4):
        run = TrainingRun(plan(100, accumulate=parts), group)
        before = reported(run)
        train(run, 2, samples=5_000, batch_size=100 // parts)
        energies_j.append(reported(run).energy_j - before.energy_j)
    assert energies_j[0] == pytest.approx(energies_j[1])


def test_a_loader_of_batches_that_do_not_fit_is_refused(group):
    run = TrainingRun(plan(100, accumulate=4), group)
    with pytest.raises(BadInput, match="100 samples at once, but only 25 fit"):
        next(run.steps(Loader(1_000, 100)))


@pytest.mark.processes  # importing pandas takes long
def test_the_power_trace_of_every_gpu_as_parquet(tmp_path):
    from pyarrow import parquet

    managers = [LeaseManager(SimulatedGpu.open(card, 0)) for card in ("V100", "A100")]
    run = TrainingRun(plan(), leased(*managers))
    train(run, 3)
    run.report({"accuracy": 0.5})
    run.write_power_trace(tmp_path / "power.parquet")
    rows = parquet.read_table(tmp_path / "power.parquet").to_pylist()
    assert {row["gpu"] for row in rows} == {"SIM-V100-0", "SIM-A100-0"}
    first = [tuple(row.values())[1:] for row in rows if row["gpu"] == "SIM-V100-0"]
    assert first == run.power_trace() != []
    TrainingRun(plan(), NO_GPU).write_power_trace(tmp_path / "empty.parquet")
    assert parquet.read_table(tmp_path / "empty.parquet").column_names == list(rows[0])
    with pytest.raises(OSError, match="nowhere"):
        run.write_power_trace(tmp_path / "nowhere" / "power.parquet")


@examples(25)
@given(count=st.integers(0, 20_000), size=st.integers(2, 64))
def test_a_power_trace_is_bounded_and_keeps_its_ends(count, size):
    trace = PowerTrace(size)
    for i in range(count):
        trace.add((float(i), 100.0, 250.0))
    kept = [at_s for at_s, _, _ in trace.since(0.0)]
    assert len(kept) <= size
    assert kept == sorted(kept)
    if count:
        assert kept[0] == 0.0
        assert count - kept[-1] <= 2 * max(1, count // max(1, len(kept) - 1)) + 1
