"""A recurring job: one search over many runs, however each of them ends."""

import dataclasses
import json
import logging
import math
from functools import partial

import pytest
from jobs import SAMPLES, SIZES, TARGET, curve, job, steep, train, train_both, train_epoch

import zeus_ray as zeus
from zeus_ray.errors import BadInput
from zeus_ray.objective import cost
from zeus_ray.records import StopReason, Target, TrialReport
from zeus_ray.search.exploration_budget import OVERRUN
from zeus_ray.search.search import Search
from zeus_ray.store.event_log import decode_event, encode_event, open_job_log
from zeus_ray.store.events import ProfileMeasured, RunAsked, RunEnded, RunLost


def events(history):
    return [logged.event for logged in open_job_log(history, "nightly").read()]


def kinds(history):
    return [type(event) for event in events(history) if not isinstance(event, ProfileMeasured)]


@pytest.mark.processes  # three seconds
def test_thirty_runs_settle_on_the_cheapest_batch_size(history):
    for _ in range(30):
        job(history).train(partial(train, samples=10_000))  # long enough for what a power profile takes
    summary = job(history).summary()
    assert summary.runs[0].knobs.batch_size == 64
    assert {run.knobs.batch_size for run in summary.runs[-3:]} <= {32, 64, 128}  # within 5 %
    used = [run.outcome.measurement for run in summary.runs if run.outcome]
    costs = [cost(m.energy_j, m.time_s, eta=0.5, max_power_w=250.0, gpus=1) for m in used]
    assert sum(costs) < (30 + 1 + OVERRUN) * costs[0]  # the exploration budget of one run
    assert len(summary.trained) == 30
    assert "exploring included" in summary.sentences()[2] or "saved" in summary.sentences()[2]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["zeus-ray", "nsdi23"])
def test_rebuilt_from_its_log_it_suggests_what_a_search_in_memory_does(history, policy):
    search = Search(
        batch_sizes=SIZES, default_batch_size=64, target=TARGET, policy=policy, seed=7, recurring=True
    )
    for _ in range(9):
        with job(history, policy=policy, seed=7).run() as run:
            knobs = search.ask("simulated V100")
            assert dataclasses.replace(run.plan.knobs, run_id=knobs.run_id) == knobs
            train_both(run, search, knobs)
    assert job(history, policy=policy, seed=7).best() == search.best()


def test_runs_at_the_same_time_see_each_other_and_all_count(history):
    one, two = job(history), job(history)
    first, second = one.ask("V100"), two.ask("V100")
    assert two.search().pending == (first.knobs.run_id, second.knobs.run_id)
    for which, plan in ((two, second), (one, first)):
        result = {"accuracy": 0.95, **row(energy_j=1000.0, time_s=10.0)}
        which.observe(plan.knobs.run_id, result)
        which.tell(plan.knobs.run_id)
    assert kinds(history) == [RunAsked, RunAsked, RunEnded, RunEnded]
    assert job(history).search().pending == ()


def row(**facts):
    return TrialReport(measured_by="simulated", epochs=5.0, gpu="V100", **facts).to_result()


def test_a_run_in_another_process_is_followed_by_its_reports(history):
    """As by a driver with workers: the plan goes down, the reports come up."""
    driver = job(history, policy="nsdi23")  # whose first run goes to its end
    plan = driver.ask("simulated V100")
    with zeus.session({"zeus": plan.to_config()}) as run:
        for epoch in range(1, 41):
            train_epoch(run)
            if driver.observe(plan.knobs.run_id, run.report({"accuracy": curve(epoch, run.batch_size)})):
                break
    driver.tell(plan.knobs.run_id)
    (only,) = job(history).summary().runs
    assert only.why_ended == StopReason.TARGET_REACHED
    assert job(history).search().profiles


def test_without_a_target_value_the_default_sets_it_and_a_second_run_does_not_wait(history):
    options = {"target": Target("accuracy")}
    one = job(history, **options)
    plan = one.ask("V100")
    meanwhile = job(history, **options).ask("V100")
    assert meanwhile.knobs.batch_size == 64
    assert meanwhile.knobs.probe_limits_w == ()
    one.observe(plan.knobs.run_id, {"accuracy": 0.8, **row(energy_j=1000.0, time_s=10.0)})
    one.tell(plan.knobs.run_id)
    assert job(history, **options).search().target.value == pytest.approx(0.8, rel=0.01)


def test_a_default_that_fails_twice_does_not_stop_the_job(history, caplog):
    options = {"target": Target("accuracy")}
    for _ in range(3):
        with pytest.raises(RuntimeError, match="broken"), job(history, **options).run() as run:
            raise RuntimeError("broken")
    assert run.batch_size == 64
    assert "twice" in caplog.text or "2 times" in caplog.text
    job(history, **options).train(train)
    assert job(history, **options).search().target.value > 0.8


def test_an_error_is_told_and_raised(history):
    with pytest.raises(RuntimeError, match="disk"), job(history).run():
        raise RuntimeError("disk full")
    (end,) = [event for event in events(history) if isinstance(event, RunEnded)]
    assert end.outcome.stop == StopReason.ERROR


@pytest.mark.processes  # importing torch takes seconds
def test_a_batch_size_that_does_not_fit_is_told_and_another_does_the_job(history):
    torch = pytest.importorskip("torch")
    plain = {"policy": "nsdi23"}  # its first run looks at nothing else on the way

    def small(run):
        if run.batch_size > 64:
            raise torch.OutOfMemoryError("tried to allocate 80 GiB")
        train(run)
        return run.batch_size

    assert job(history, points_to_evaluate=[256], **plain).train(small) <= 64
    ends = [run.why_ended for run in job(history).summary().runs]
    assert ends == [StopReason.OUT_OF_MEMORY, StopReason.TARGET_REACHED]
    with pytest.raises(torch.OutOfMemoryError), job(history, points_to_evaluate=[128], **plain).run() as run:
        small(run)  # tried once: what was to run has not
    assert job(history, **plain).search().ask().batch_size <= 64


@pytest.mark.slow
def test_the_last_try_is_stopped_for_nothing_but_the_target(history):
    job(history).train(train)
    seen = []

    def expensive(run):
        train(run, samples=100 * SAMPLES)
        seen.append(run.stop)

    job(history).train(expensive, tries=3)
    assert (seen[0], seen[-1]) == (StopReason.COST_CAP, StopReason.TARGET_REACHED)


def test_an_interrupted_run_counts_for_no_batch_size(history):
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt), job(history).run() as run:
            raise KeyboardInterrupt
    assert kinds(history) == [RunAsked, RunLost] * 4
    assert run.batch_size == 64
    assert job(history).search().pending == ()


def test_a_run_that_reports_nothing_counts_as_a_crash(history, caplog):
    with caplog.at_level(logging.WARNING), job(history).run():
        pass
    assert "without one report" in caplog.text
    assert kinds(history) == [RunAsked, RunEnded]


def test_a_run_elsewhere_is_given_up_after_a_long_silence(history, caplog):
    plan = job(history).ask()
    path = next(history.rglob("*-asked-*.json"))
    elsewhere(path, hours_ago=23)
    assert job(history).ask().knobs.run_id
    assert RunLost not in kinds(history)
    elsewhere(path, hours_ago=25)
    job(history).ask()
    assert kinds(history).count(RunLost) == 1
    assert plan.knobs.run_id in caplog.text


def elsewhere(path, hours_ago):
    """Make a run one of another machine, asked for so long ago."""
    logged = decode_event(path.name, path.read_text())
    process = dataclasses.replace(logged.event.process, machine="elsewhere")
    event = dataclasses.replace(logged.event, process=process)
    path.write_text(encode_event("asked", logged.at_s - 3600 * hours_ago, event))


def test_a_run_given_up_that_ends_after_all_counts(history):
    late = job(history)
    plan = late.ask("V100")
    lost = RunLost(run_id=plan.knobs.run_id, why="silent", crashed=True)
    open_job_log(history, "nightly").append(lost)
    late.observe(plan.knobs.run_id, {"accuracy": 0.95, **row(energy_j=1000.0, time_s=10.0)})
    late.tell(plan.knobs.run_id)
    assert kinds(history) == [RunAsked, RunEnded]
    assert not math.isnan(job(history).best().cost.mean)


@pytest.mark.slow
def test_another_target_judges_earlier_runs_by_their_curves(history):
    for _ in range(3):
        job(history).train(train)
    easier = job(history, target=Target("accuracy", 0.5)).summary()
    epochs = {run.knobs.batch_size: run for run in easier.runs}
    assert epochs[64].outcome.epochs > 5  # as it was told
    low = job(history, target=Target("accuracy", 0.5)).search()
    high = job(history, target=Target("accuracy", 0.99)).search()
    assert low.best().energy_j.mean < job(history).best().energy_j.mean / 2
    assert math.isnan(high.best().cost.mean)  # none of them got there: they were ended at 0.9
    assert high.ask().batch_size in SIZES


@pytest.mark.slow
def test_batch_sizes_may_come_and_go(history):
    for _ in range(5):
        job(history).train(train)
    fewer = job(history, batch_sizes=[64, 128, 512])
    assert fewer.ask().knobs.batch_size in (64, 128, 512)


def test_simulated_and_real_joules_do_not_mix(history, monkeypatch):
    job(history).train(train)
    monkeypatch.setenv("ZEUS_RAY_GPU", "nvml")
    with pytest.raises(zeus.BadInput, match="simulated"):
        job(history).ask()


def test_a_storage_that_fails_at_the_end_fails_no_training(history, caplog):
    with job(history, policy="nsdi23").run() as run:  # whose first run goes to its end
        train(run)
        folder = history / "nightly"
        folder.rename(history / "away")
        folder.write_text("a file where the folder should be")
    assert "Not stored" in caplog.text
    lines = [record.message for record in caplog.records if "Not stored: RunEnded" in record.message]
    assert json.loads(lines[0].partition("RunEnded of run ")[2].partition(": ")[2])["outcome"]["reached"]


@pytest.mark.slow
def test_points_to_evaluate_run_first(history):
    seen = []
    for _ in range(4):
        with job(history, points_to_evaluate=[256, 16]).run() as run:
            seen.append(run.batch_size)
            train(run)
    assert seen[:2] == [256, 16]


@pytest.mark.slow
def test_a_warm_start_from_another_kind_of_gpu_gives_epochs_but_no_profile(tmp_path, monkeypatch):
    for _ in range(6):
        job(tmp_path, job="old").train(partial(train, learns=steep))
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:A100")
    first = {}
    for name, options in (("warm", {"warm_start": [tmp_path / "old"]}), ("cold", {})):
        with job(tmp_path, job=name, **options).run() as run:
            first[name] = run.plan.knobs
            train(run, learns=steep)
    assert first["warm"].batch_size == 32
    assert first["cold"].batch_size == 64
    assert first["warm"].power_limit_w is None  # V100's best limit says nothing of an A100's
    again = job(tmp_path, job="warm", warm_start=[tmp_path / "old"])
    assert {p.gpu for p in again.search().profiles} == {"simulated V100", "simulated A100"}
    assert again.search().power_limit_w(32, "simulated A100") > 0


def test_a_warm_start_needs_runs_and_a_target(tmp_path):
    with pytest.raises(zeus.BadInput, match="no profile, and no finished run"):
        job(tmp_path, warm_start=[tmp_path / "nothing"])
    with pytest.raises(zeus.BadInput, match="target"):
        job(tmp_path, target=Target("accuracy"), warm_start=[tmp_path / "nothing"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": 0.9}, "Target"),
        ({"batch_sizes": []}, "no batch sizes"),
        ({"default_batch_size": 65}, "65"),
        ({"points_to_evaluate": [65]}, "65"),
        ({"eta": 2}, "eta"),
        ({"job": "a/b"}, "job"),
    ],
)
def test_bad_input_names_what_was_given(history, options, words):
    with pytest.raises(zeus.BadInput, match=words):
        job(history, **options)


ONE = {"batch_sizes": [256], "default_batch_size": 256, "eta": 1}
"""A job with one batch size: only the limit is searched, and its GPU is busy, so that the limit binds."""


def test_where_no_limit_may_be_set_a_run_ends_with_what_one_would_have_saved(history, monkeypatch, caplog):
    for _ in range(2):
        job(history, **ONE).train(train)
    monkeypatch.setenv("ZEUS_RAY_POWER_CONTROL", "off")
    job(history, **ONE).train(train)
    said = [r.message for r in caplog.records if "by the recorded profile of batch size 256" in r.message]
    assert len(said) == 1
    summary = job(history, **ONE).summary()
    assert summary.runs[-1].report.power_limit_w == 250.0
    # The estimate is what the run at that limit has used.
    estimate = float(said[0].partition("would have taken ")[2].split()[0]) / 100
    measured = 1 - summary.runs[1].energy_j / summary.runs[-1].energy_j
    assert estimate == pytest.approx(measured, abs=0.005)
    assert estimate > 0.1


def test_without_a_profile_the_run_says_what_is_missing(history, monkeypatch, caplog):
    monkeypatch.setenv("ZEUS_RAY_POWER_CONTROL", "off")
    with job(history).run() as run:
        train(run)
    assert "no power profile of batch size 64 on simulated V100 is known" in caplog.text


@pytest.mark.slow
def test_energy_of_the_default_at_the_highest_limit_is_estimated_from_its_runs(history, monkeypatch):
    for _ in range(3):
        job(history, **ONE).train(train)
    estimate = job(history, **ONE).summary()
    assert estimate.saved_j == pytest.approx(3 * estimate.default_j["simulated V100"] - estimate.spent_j)
    monkeypatch.setenv("ZEUS_RAY_POWER_CONTROL", "off")
    job(history, **ONE).train(train)
    measured_j = job(history, **ONE).summary().runs[-1].energy_j  # it ran at the highest limit
    assert estimate.default_j["simulated V100"] == pytest.approx(measured_j, rel=0.005)


@pytest.mark.parametrize("rank", [0, 1])
def test_one_process_of_several_is_refused_with_what_to_do(tmp_path, monkeypatch, rank):
    for name, value in (("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", 2), ("LOCAL_WORLD_SIZE", 2)):
        monkeypatch.setenv(name, str(value))
    recurring = job(tmp_path)
    with pytest.raises(BadInput, match="zeus-ray job run"), recurring.run():
        pass
    with pytest.raises(BadInput, match=f"process {rank} of 2"):
        recurring.train(train_epoch)
    assert kinds(tmp_path) == []
