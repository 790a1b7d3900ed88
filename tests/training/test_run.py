"""A run on a simulated board: real LeaseManager, real profiler, time that passes only by training."""

import dataclasses
import json
import math
import os
import pickle

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.decide import power
from zeus_ray.decide.advice import advise
from zeus_ray.errors import BadInput
from zeus_ray.gpus.energy.power_trace import PowerTrace
from zeus_ray.gpus.simulated import SimulatedGpu
from zeus_ray.leases.manager import LeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.records import (
    Knobs,
    Measurement,
    Plan,
    PowerProfile,
    StopReason,
    Target,
    TrialReport,
    from_json,
)
from zeus_ray.store.storage import LocalFolder
from zeus_ray.training import lr_scaling as rates
from zeus_ray.training.attempts import AttemptLog
from zeus_ray.training.gpu_group import GpuGroup, LeasedGpu
from zeus_ray.training.run import TrainingRun

LIMITS_W = (250.0, 200.0, 150.0, 100.0)


@pytest.fixture
def gpu():
    return SimulatedGpu.open("V100", 0)


@pytest.fixture
def boards(gpu, tmp_path):
    keeper = LeaseManager(gpu, state_dir=tmp_path / "state")
    boards = GpuGroup([LeasedGpu.local(keeper, HolderProcess.current("trial"), "auto")])
    yield boards
    boards.release()
    keeper.close()


def plan(batch_size=100, *, target=None, **knobs):
    return Plan(knobs=Knobs(run_id="1", batch_size=batch_size, **knobs), target=target)


def epochs(run, count, samples=10_000, batch_size=100):
    for _ in range(count):
        for _batch in run.steps(Loader(samples, batch_size)):
            pass


class Loader:
    """A sized loader over a sized dataset, as torch's is."""

    def __init__(self, samples, batch_size):
        self.dataset = range(samples)
        self.batch_size = batch_size

    def __len__(self):
        return math.ceil(len(self.dataset) / self.batch_size)

    def __iter__(self):
        for start in range(0, len(self.dataset), self.batch_size):
            yield self.dataset[start : start + self.batch_size]


def test_a_given_limit_is_set_and_what_was_found_is_given_back(gpu, boards):
    found_w = gpu.power_limit_w()
    TrainingRun(plan(power_limit_w=150.0), boards)
    assert gpu.power_limit_w() == 150.0
    boards.release()
    assert gpu.power_limit_w() == found_w


def test_the_limit_is_lower_while_energy_is_dear(gpu, boards):
    """η = 0.1 and nine times the price weigh energy as much as time: η' = 0.5."""
    points = tuple((w, 0.9 * w, 10.0 * (1 + 25 / w)) for w in LIMITS_W)
    known = PowerProfile(batch_size=100, gpu=boards.gpu, max_power_w=300.0, points=points)
    for price, eta in ((1.0, 0.1), (9.0, 0.5)):
        priced = dataclasses.replace(plan(), eta=0.1, profiles=(known,), energy_price=price)
        TrainingRun(priced, boards)
        assert gpu.power_limit_w() == power.optimal_limit_w(known, eta=eta, max_power_w=300.0)
    assert gpu.power_limit_w() < power.optimal_limit_w(known, eta=0.1, max_power_w=300.0)


def test_no_limit_and_nothing_to_probe_leaves_the_board_as_it_is(gpu, boards):
    found_w = gpu.power_limit_w()
    run = TrainingRun(plan(), boards)
    epochs(run, 2)
    assert gpu.power_limit_w() == found_w
    assert TrialReport.from_result(run.report({})).profile == ""


def test_limits_are_profiled_in_the_order_given_and_the_best_is_kept(gpu, boards):
    order, seen = (150.0, 250.0, 100.0, 200.0), []
    run = TrainingRun(plan(probe_limits_w=order), boards, window_s=2.0, settle_s=0.5)
    for _ in range(200):
        if run.report({})["zeus/profile"]:
            break
        seen += [gpu.power_limit_w()] * (gpu.power_limit_w() not in seen)
        epochs(run, 1, samples=300)
    assert tuple(seen) == order
    run = TrainingRun(plan(probe_limits_w=LIMITS_W), boards, window_s=2.0, settle_s=0.5)
    epochs(run, 20)
    profile = from_json(PowerProfile, run.report({})["zeus/profile"])
    assert [p[0] for p in profile.points] == list(LIMITS_W)
    best_w = power.optimal_limit_w(profile, eta=0.5, max_power_w=profile.max_power_w, gpus=1)
    assert gpu.power_limit_w() == best_w


def test_a_profile_agrees_with_the_board(gpu, boards):
    run = TrainingRun(plan(probe_limits_w=LIMITS_W), boards, window_s=5.0, settle_s=1.0)
    epochs(run, 30, samples=10_000)
    profile = from_json(PowerProfile, run.report({})["zeus/profile"])
    for limit_w, _power_w, epoch_s in profile.points:
        gpu.set_power_limit_w(limit_w)
        assert epoch_s == pytest.approx(10_000 * gpu.time_per_sample_s(100), rel=0.05)


def test_a_window_goes_on_across_the_end_of_a_short_epoch(boards):
    run = TrainingRun(plan(probe_limits_w=LIMITS_W), boards, window_s=3.0, settle_s=0.0)
    epochs(run, 1, samples=300)
    assert run.report({})["zeus/profile"] == ""  # far less than a window so far
    epochs(run, 300, samples=300)
    profile = from_json(PowerProfile, run.report({})["zeus/profile"])
    assert len(profile.points) == len(LIMITS_W)


def test_a_known_profile_of_this_kind_of_gpu_is_not_measured_again(gpu, boards):
    points = ((250.0, 240.0, 10.0), (100.0, 95.0, 10.5))
    known = PowerProfile(batch_size=100, gpu=gpu.name, max_power_w=250.0, points=points)
    other = PowerProfile(batch_size=100, gpu="another card", max_power_w=250.0, points=points[:1])
    TrainingRun(Plan(knobs=Knobs(run_id="1", batch_size=100), profiles=(other, known)), boards)
    assert gpu.power_limit_w() == 100.0


def test_a_profile_that_an_earlier_run_did_not_finish_is_gone_on_with(gpu, boards):
    points = ((150.0, 140.0, 10.0),)
    part = PowerProfile(batch_size=100, gpu=boards.gpu, max_power_w=250.0, points=points)
    run = TrainingRun(dataclasses.replace(plan(probe_limits_w=(250.0, 100.0)), profiles=(part,)), boards)
    reports, limits = [], []
    for _ in range(3):  # no steps: one limit a report, the first report only begins
        limits.append(gpu.power_limit_w())
        reports.append(TrialReport.from_result(run.report({})))
    assert limits[1:] == [250.0, 100.0]
    assert from_json(PowerProfile, reports[0].profile_so_far) == part
    assert len(from_json(PowerProfile, reports[1].profile_so_far).points) == 2
    assert reports[-1].profile_so_far == ""
    whole = from_json(PowerProfile, reports[-1].profile)
    assert [point[0] for point in whole.points] == [250.0, 150.0, 100.0]
    assert gpu.power_limit_w() == power.optimal_limit_w(whole, eta=0.5, max_power_w=250.0, gpus=1)


def test_a_limit_the_board_does_not_accept_names_the_range(boards):
    with pytest.raises(BadInput, match=r"100 to 250|100 to 300|range"):
        TrainingRun(plan(probe_limits_w=(1.0,)), boards)


def test_the_cost_cap_ends_the_steps_between_two_epochs_and_within_one(boards):
    free = TrainingRun(plan(), boards)
    epochs(free, 1, samples=100_000)
    cap = TrialReport.from_result(free.report({})).cost * 3.4
    run = TrainingRun(plan(cost_cap=cap), boards)
    epochs(run, 10, samples=100_000)
    report = TrialReport.from_result(run.report({}))
    assert run.stop == StopReason.COST_CAP
    assert report.stop_reason == "cost cap"
    assert report.cost == pytest.approx(cap, rel=0.2)


def test_a_run_that_is_only_a_profile_stops_after_it(boards):
    run = TrainingRun(plan(probe_limits_w=LIMITS_W, cost_cap=0.0), boards, window_s=1.0, settle_s=0.0)
    epochs(run, 100)
    report = TrialReport.from_result(run.report({}))
    assert run.stop == StopReason.PROFILED
    assert len(from_json(PowerProfile, report.profile).points) == len(LIMITS_W)


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
def test_reaching_the_target_stops(boards, mode, values, stop):
    run = TrainingRun(plan(target=Target("metric", 0.9, mode)), boards)
    for value in values:
        epochs(run, 1)
        result = run.report({"metric": value})
    assert run.stop == stop
    assert math.isnan(result["zeus/cost_to_target"]) == (stop is None)


def test_every_key_is_there_from_the_first_report_on_and_the_metrics_stay(boards):
    result = TrainingRun(plan(), boards).report({"metric": 1.0, "zeus": "mine"})
    assert set(TrialReport().to_result()) < set(result)
    assert result["metric"] == 1.0
    assert result["zeus"] == "mine"
    assert result["zeus/measured_by"] == "simulated"


def test_without_a_board_time_passes_and_the_rest_is_nan():
    run = TrainingRun(plan(probe_limits_w=None), GpuGroup([], why_none="no NVIDIA driver"))
    epochs(run, 2)
    report = TrialReport.from_result(run.report({}))
    assert run.note == "no NVIDIA driver"
    assert report.measured_by == "none"
    assert math.isnan(report.energy_j)
    assert math.isnan(report.power_limit_w)
    assert report.time_s > 0
    assert report.epochs == 2


def test_a_function_that_never_says_when_it_steps_is_probed_one_limit_per_report(gpu, boards):
    run = TrainingRun(plan(probe_limits_w=LIMITS_W), boards, settle_s=0.0)
    limits = [run.report({}) and gpu.power_limit_w() for _ in range(len(LIMITS_W))]
    assert limits == list(LIMITS_W)
    last = run.report({})
    assert last["zeus/epochs"] == len(LIMITS_W) + 1
    assert len(from_json(PowerProfile, last["zeus/profile"]).points) == len(LIMITS_W)


def test_a_second_attempt_goes_on_counting(boards, tmp_path):
    folder = LocalFolder(tmp_path / "trial")
    first = TrainingRun(plan(), boards, ledger=AttemptLog.open(folder))
    epochs(first, 3)
    before = TrialReport.from_result(first.report({}))
    second = TrainingRun(plan(), boards, ledger=AttemptLog.open(folder))
    after = TrialReport.from_result(second.report({}))
    assert after.attempt == 2
    # The lease went on, so the second attempt reads the first one's joules again on top of the ledger's.
    assert after.energy_j == pytest.approx(2 * before.energy_j, rel=1e-3)
    assert json.loads(folder.read("zeus-attempt-1.json"))["energy_j"] == before.energy_j


def test_an_attempt_that_was_killed_is_counted_to_its_end(tmp_path):
    folder = LocalFolder(tmp_path / "trial")
    killed = AttemptLog.open(folder)
    killed.held = [("actor", "lease")]
    killed.write(Measurement(energy_j=100.0, time_s=10.0), samples=0, gpu="", profile="")
    asked = []

    def ask(held, energy_j=150.0):
        asked.append(held)
        return Measurement(energy_j=energy_j, time_s=14.0)

    nobody_knows = AttemptLog.open(folder)
    assert (nobody_knows.before.energy_j, nobody_knows.attempt) == (100.0, 2)
    assert AttemptLog.open(folder, ask=lambda held: ask(held, math.nan)).before.energy_j == 100.0
    assert AttemptLog.open(folder, ask=ask).before == Measurement(energy_j=150.0, time_s=14.0)
    assert AttemptLog.open(folder, ask=ask).before.energy_j == 150.0  # and is not asked about again
    assert asked == [[["actor", "lease"]]] * 2


@pytest.mark.processes  # importing pandas takes long
def test_the_power_timeline_of_every_board_as_parquet(tmp_path):
    from pyarrow import parquet

    keepers = [LeaseManager(SimulatedGpu.open(card, 0)) for card in ("V100", "A100")]
    holder = HolderProcess.current("trial")
    run = TrainingRun(plan(), GpuGroup([LeasedGpu.local(keeper, holder, "auto") for keeper in keepers]))
    epochs(run, 3)
    run.write_power_timeline(tmp_path / "power.parquet")
    read = parquet.read_table(tmp_path / "power.parquet").to_pylist()
    assert {row["gpu"] for row in read} == {"SIM-V100-0", "SIM-A100-0"}
    first = [tuple(row.values())[1:] for row in read if row["gpu"] == "SIM-V100-0"]
    assert first == run.power_timeline() != []
    TrainingRun(plan(), GpuGroup([])).write_power_timeline(tmp_path / "empty.parquet")
    assert parquet.read_table(tmp_path / "empty.parquet").column_names == list(read[0])
    with pytest.raises(OSError, match="nowhere"):
        run.write_power_timeline(tmp_path / "nowhere" / "power.parquet")


@examples(25)
@given(count=st.integers(0, 20_000), size=st.integers(2, 64))
def test_a_timeline_is_bounded_and_keeps_its_ends(count, size):
    timeline = PowerTrace(size)
    for i in range(count):
        timeline.add((float(i), 100.0, 250.0))
    kept = [at_s for at_s, _, _ in timeline.since(0.0)]
    assert len(kept) <= size
    assert kept == sorted(kept)
    if count:
        assert kept[0] == 0.0
        assert count - kept[-1] <= 2 * max(1, count // max(1, len(kept) - 1)) + 1


def attempt(folder, tmp_path, *, card="V100", resumed=False, count=20, probes=LIMITS_W):
    """One attempt of a trial in a process of its own, as far as boards and books can tell."""
    keeper = LeaseManager(SimulatedGpu.open(card, 0), state_dir=tmp_path / "state", watchdog=False)
    boards = GpuGroup([LeasedGpu.local(keeper, HolderProcess.current("trial"), "auto")])
    run = TrainingRun(
        plan(probe_limits_w=probes), boards, ledger=AttemptLog.open(folder), window_s=1.0, settle_s=0.0
    )
    if resumed:
        run.go_on()
    epochs(run, count)
    report = TrialReport.from_result(run.report({}))
    boards.release()
    keeper.close()
    return run, report


def test_an_attempt_that_goes_on_counts_on_and_does_not_profile_again(tmp_path):
    folder = LocalFolder(tmp_path / "trial")
    _run, first = attempt(folder, tmp_path)
    run, second = attempt(folder, tmp_path, resumed=True, count=5)
    assert (second.attempt, second.epochs) == (2, 20 + 5)
    assert second.profile == first.profile != ""
    assert second.power_limit_w == first.power_limit_w
    assert second.energy_j > first.energy_j * 21 / 20  # the profile is dearer than the epochs after it
    assert run.note == ""
    _run, third = attempt(folder, tmp_path, count=1)
    assert (third.attempt, third.epochs) == (3, 1)  # from the beginning, no checkpoint
    assert third.energy_j > second.energy_j


def test_an_attempt_that_goes_on_probes_only_what_is_left(gpu, boards, tmp_path):
    folder = LocalFolder(tmp_path / "trial")
    first = TrainingRun(plan(probe_limits_w=LIMITS_W), boards, ledger=AttemptLog.open(folder))
    for _ in range(3):  # no steps: one limit a report, the first report only begins
        first.report({})
    limits = []
    second = TrainingRun(plan(probe_limits_w=LIMITS_W), boards, ledger=AttemptLog.open(folder))
    while not second.report({})["zeus/profile"]:
        limits.append(gpu.power_limit_w())
    assert limits == list(LIMITS_W[2:])
    profile = from_json(PowerProfile, second.report({})["zeus/profile"])
    assert [point[0] for point in profile.points] == list(LIMITS_W)


def test_an_attempt_on_another_kind_of_gpu_says_so_and_profiles_there(tmp_path):
    folder = LocalFolder(tmp_path / "trial")
    _run, first = attempt(folder, tmp_path)
    run, second = attempt(folder, tmp_path, card="A40", resumed=True)
    assert second.moved_from == first.gpu
    assert from_json(PowerProfile, second.profile).gpu == second.gpu != first.gpu
    assert f"began on {first.gpu} and goes on on {second.gpu}" in run.note
    assert second.energy_j > first.energy_j


def test_the_pid_of_the_holder_is_this_process():
    assert HolderProcess.current("trial").pid == os.getpid()


@examples(30)
@given(
    samples=st.integers(1, 2_000),
    batch_size=st.integers(1, 300),
    count=st.integers(1, 4),
)
def test_epochs_are_passes_over_the_loader_whatever_the_batches(samples, batch_size, count):
    run = TrainingRun(plan(batch_size), GpuGroup([]))
    epochs(run, count, samples=samples, batch_size=batch_size)
    assert TrialReport.from_result(run.report({})).epochs == pytest.approx(count)


@pytest.mark.parametrize(("rule", "lr"), [("linear", 0.4), ("sqrt", 0.2), ("none", 0.1)])
def test_learning_rates_scale_by_rule(rule, lr):
    run = TrainingRun(Plan(knobs=Knobs(run_id="", batch_size=256), default_batch_size=64), GpuGroup([]))
    assert run.scale_lr(0.1, rule) == pytest.approx(lr)


def test_accumulated_batches_are_one_step_of_the_whole_batch_size(boards):
    run = TrainingRun(plan(100, accumulate=4), boards)
    assert run.micro_batch_size == 25
    ends = [run.step_ends for _batch in run.steps(Loader(1_010, 25))]
    assert ends == [False, False, False, True] * 10 + [True]  # the last, of ten samples, is a step too
    report = TrialReport.from_result(run.report({}))
    assert (report.epochs, report.batch_size, report.accumulate) == (1, 100, 4)


def test_accumulated_or_at_once_the_same_samples_cost_the_same(boards):
    costs = []
    for parts in (1, 4):
        run = TrainingRun(plan(100, accumulate=parts), boards)
        before = TrialReport.from_result(run.report({}))
        epochs(run, 2, samples=5_000, batch_size=100 // parts)
        costs.append(TrialReport.from_result(run.report({})).energy_j - before.energy_j)
    assert costs[0] == pytest.approx(costs[1])


def test_a_loader_of_batches_that_do_not_fit_is_refused(boards):
    run = TrainingRun(plan(100, accumulate=4), boards)
    with pytest.raises(BadInput, match="100 samples at once, but only 25 fit"):
        next(run.steps(Loader(1_000, 100)))


def test_an_unknown_rule_names_the_rules():
    run = TrainingRun(plan(), GpuGroup([]))
    with pytest.raises(BadInput, match="linear"):
        run.scale_lr(0.1, "cubic")


def test_a_rule_may_be_a_function_of_the_ratio_and_the_report_tells_it():
    def cautious(ratio):
        return ratio**0.25

    run = TrainingRun(Plan(knobs=Knobs(run_id="", batch_size=1024), default_batch_size=64), GpuGroup([]))
    assert TrialReport.from_result(run.report({})).lr_rule == ""
    assert run.scale_lr(0.1, cautious) == pytest.approx(0.2)
    report = TrialReport.from_result(run.report({}))
    assert (report.lr, report.lr_rule) == (pytest.approx(0.2), "cautious")


@pytest.mark.parametrize(
    ("lr", "rule", "words"),
    [(0.0, "linear", "above 0"), (math.nan, "sqrt", "nan"), (0.1, lambda _ratio: -1.0, "-1.0")],
)
def test_a_rate_that_cannot_be_is_refused(lr, rule, words):
    with pytest.raises(BadInput, match=words):
        TrainingRun(plan(), GpuGroup([])).scale_lr(lr, rule)


@given(
    ratio=st.floats(0.01, 100), steps=st.integers(1, 1000), rule=st.sampled_from(["linear", "sqrt", "none"])
)
def test_a_warm_up_rises_from_the_base_rate_to_the_scaled_one(ratio, steps, rule):
    scaled = rates.scaled(0.1, ratio, rule)
    warm_up = pickle.loads(pickle.dumps(rates.warm_up(scaled, steps)))  # noqa: S301 — our own
    factors = [warm_up(step) for step in (0, steps // 2, steps - 1, 10 * steps)]
    assert factors == sorted(factors)
    assert factors[2] == pytest.approx(1)
    assert factors[3] == pytest.approx(1)
    assert min(0.1, scaled.lr) - 1e-9 <= scaled.lr * factors[0] <= scaled.lr + 1e-9


def test_a_warm_up_takes_a_step_at_least():
    with pytest.raises(BadInput, match="0 steps"):
        TrainingRun(plan(), GpuGroup([])).warm_up(0)


@pytest.fixture
def observed(gpu, tmp_path):
    """GpuGroup on which nothing may be set."""
    keeper = LeaseManager(gpu, state_dir=tmp_path / "state")
    boards = GpuGroup([LeasedGpu.local(keeper, HolderProcess.current("trial"), "off")])
    yield boards
    boards.release()
    keeper.close()


def recorded(size=100, gpu="simulated V100"):
    points = ((250.0, 200.0, 10.0), (150.0, 140.0, 11.0), (100.0, 95.0, 20.0))
    return PowerProfile(batch_size=size, gpu=gpu, max_power_w=250.0, points=points)


def test_an_observed_run_says_what_a_limit_would_have_saved(observed):
    known = dataclasses.replace(plan(power_limit_w=150.0), profiles=(recorded(),))
    run = TrainingRun(known, observed)
    epochs(run, 2)
    report = TrialReport.from_result(run.report({}))
    saving = 1 - 140.0 * 11 / (200.0 * 10)
    assert report.power_limit_w == 250.0
    assert f"150 W instead of 250 W would have taken {saving:.1%}".replace("%", " %") in report.advice
    assert "10.0 % more time" in report.advice


@pytest.mark.parametrize("profiles", [(), (recorded(size=64),), (recorded(gpu="A100"),)])
def test_an_observed_run_without_a_profile_of_its_own_says_what_is_missing(observed, profiles):
    run = TrainingRun(dataclasses.replace(plan(), profiles=profiles), observed)
    assert "no power profile of batch size 100 on simulated V100" in run.report({})["zeus/advice"]


def test_a_run_that_sets_its_limit_needs_no_advice(boards):
    assert TrainingRun(plan(), boards).report({})["zeus/advice"] == ""
    assert TrainingRun(plan(), GpuGroup([])).report({})["zeus/advice"] == ""


@given(
    points=st.lists(
        st.tuples(st.floats(50, 400), st.floats(1, 400), st.floats(0.1, 100)),
        min_size=1,
        max_size=6,
        unique_by=lambda p: p[0],
    ),
    in_force_w=st.floats(20, 500),
    eta=st.floats(0, 1),
)
def test_advice_never_costs_more_than_what_is_in_force(points, in_force_w, eta):
    profile = PowerProfile(batch_size=1, gpu="V100", max_power_w=400.0, points=tuple(points))
    found = advise(profile, in_force_w, eta=eta, max_power_w=400.0, gpus=1)
    assert found.limit_w in [w for w, _power_w, _time_s in points]

    def costs(limit_w):
        return power.epoch_cost(profile, limit_w, eta, max_power_w=400.0)

    if found.against_w in [w for w, _power_w, _time_s in points]:
        assert costs(found.limit_w) <= costs(found.against_w) * (1 + 1e-9)
