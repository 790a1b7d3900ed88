"""Whole searches in real Ray Tune, on simulated GPUs."""

import json
import math
from pathlib import Path

import pytest
import trainables

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
tune = pytest.importorskip("ray.tune")

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler  # noqa: E402 — after the marker: importing it takes seconds
from ray.tune.search import ConcurrencyLimiter  # noqa: E402

import zeus_ray as zeus  # noqa: E402
from zeus_ray.records import StopReason, Target, TrialReport  # noqa: E402
from zeus_ray.reporting.trials_from_result import summaries  # noqa: E402

SIZES = [16, 32, 64, 128]
TARGET = Target("accuracy", 0.9)


def run(train, tmp_path, *, searcher=None, scheduler=None, **options):
    options = {
        "config": {"batch_size": tune.choice(SIZES)},
        "metric": "accuracy",
        "mode": "max",
        "num_samples": 12,
        "resources_per_trial": zeus.resources(),
        "storage_path": str(tmp_path),
        "reuse_actors": True,
        "verbose": 0,
        **options,
    }
    return tune.run(train, search_alg=searcher, scheduler=scheduler, **options)


def reports(result):
    return [TrialReport.from_result(trial.last_result) for trial in result.trials]


def searcher(**options):
    return zeus.ZeusSearcher(**{"target": TARGET, "default_batch_size": 64, **options})


def test_a_search_measures_profiles_stops_early_and_ends(tmp_path):
    alg = searcher()
    result = run(
        trainables.with_session, tmp_path, searcher=alg, scheduler=zeus.EnergyScheduler(alg), num_samples=40
    )
    found = reports(result)
    assert len(found) < 40  # it ended before num_samples
    assert {r.measured_by for r in found} == {"simulated"}
    assert all(r.energy_j > 0 and r.time_s > 0 for r in found)
    assert any(r.profile for r in found)
    assert any(r.stop_reason == "target reached" for r in found)
    best = alg.best()
    assert best.batch_size in SIZES
    assert 100 <= best.power_limit_w <= 300


def test_the_searcher_alone_stops_at_the_target_and_at_the_cap(tmp_path):
    limited = ConcurrencyLimiter(searcher(), max_concurrent=2)
    result = run(trainables.with_session, tmp_path, searcher=limited, num_samples=6)
    for trial in result.trials:
        report = TrialReport.from_result(trial.last_result)
        assert report.stop_reason in ("target reached", "cost cap")
        assert trial.last_result["training_iteration"] < 30


def test_tuner_takes_the_same_searcher_and_scheduler(tmp_path):
    def train(config):  # a new function, because with_resources changes the one it is given
        trainables.with_session(config)

    alg = searcher(metric="accuracy", mode="max")
    tuner = tune.Tuner(
        tune.with_resources(train, zeus.resources()),
        param_space={"batch_size": tune.choice(SIZES), "lr": tune.loguniform(1e-4, 1e-1)},
        tune_config=tune.TuneConfig(
            search_alg=alg, scheduler=zeus.EnergyScheduler(alg), num_samples=3, reuse_actors=True
        ),
        run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
    )
    grid = tuner.fit()
    assert not grid.errors
    assert all(1e-4 <= r.config["lr"] <= 1e-1 for r in grid)
    assert "zeus/energy_j" in grid.get_dataframe()


def test_without_a_target_the_defaults_metric_is_the_target(tmp_path):
    alg = searcher(target=None, max_epochs=30)
    run(trainables.with_session, tmp_path, searcher=alg, scheduler=zeus.EnergyScheduler(alg), num_samples=3)
    reached = trainables.curve(30, 64)
    assert alg.search.target.value == pytest.approx(reached, rel=0.05)


@pytest.mark.parametrize("train", [trainables.unmodified, trainables.returns_a_dict])
def test_an_unmodified_function_is_metered(tmp_path, train):
    alg = searcher()
    result = run(
        zeus.metered(train), tmp_path, searcher=alg, scheduler=zeus.EnergyScheduler(alg), num_samples=3
    )
    assert {r.measured_by for r in reports(result)} == {"simulated"}
    assert all(r.batch_size in SIZES for r in reports(result))


def test_a_class_trainable_is_metered(tmp_path):
    class Model(tune.Trainable):
        def setup(self, config):
            self.size = config["batch_size"]

        def step(self):
            return {"accuracy": trainables.curve(self.iteration + 1, self.size)}

    alg = searcher()
    result = run(
        zeus.metered(Model),
        tmp_path,
        searcher=alg,
        scheduler=zeus.EnergyScheduler(alg),
        num_samples=2,
        reuse_actors=False,
    )
    assert all(r.stop_reason for r in reports(result))


class PausesOnce(FIFOScheduler):
    """Pauses each trial after its second result."""

    def __init__(self):
        super().__init__()
        self.paused = set()

    def on_trial_result(self, _controller, trial, result):
        if result["training_iteration"] == 2 and trial.trial_id not in self.paused:
            self.paused.add(trial.trial_id)
            return self.PAUSE
        return self.CONTINUE


@pytest.mark.parametrize("kind", ["class", "function"])
def test_a_trial_that_is_paused_and_killed_keeps_its_energy(tmp_path, kind):
    Model = type("Model", (trainables.Counts, tune.Trainable), {})  # noqa: N806 — a class
    every = {"checkpoint_frequency": 1} if kind == "class" else {}
    result = run(
        zeus.metered(Model) if kind == "class" else trainables.counts_in_a_function,
        tmp_path,
        scheduler=zeus.EnergyScheduler(target=Target("accuracy", 1.0), base=PausesOnce()),
        config={"batch_size": 32, "dies": tune.grid_search([True, False]), "mark": str(tmp_path / "mark")},
        num_samples=1,
        max_concurrent_trials=1,
        checkpoint_config=tune.CheckpointConfig(**every),
        max_failures=1,
    )
    rows = {trial.config["dies"]: trial.last_result for trial in result.trials}
    killed, paused = (TrialReport.from_result(rows[dies]) for dies in (True, False))
    assert (killed.attempt, paused.attempt) == (3, 2)  # paused and killed; paused
    for report, row in zip((killed, paused), rows.values(), strict=True):
        assert (row["steps"], report.epochs) == (6, 6)
        assert report.stop_reason == "target reached"
    for trial in result.trials:
        attempts = [json.loads(path.read_text()) for path in Path(trial.path).glob("zeus-attempt-*.json")]
        energy_j = sum(entry["energy_j"] for entry in attempts)
        assert trial.last_result["zeus/energy_j"] == pytest.approx(energy_j, rel=0.05)
        assert all(entry["energy_j"] > 0 for entry in attempts)


def test_without_a_gpu_the_search_minimises_time(tmp_path):
    alg = searcher()
    result = run(
        trainables.on_no_gpu, tmp_path, searcher=alg, scheduler=zeus.EnergyScheduler(alg), num_samples=4
    )
    for report in reports(result):
        assert report.measured_by == "none"
        assert math.isnan(report.energy_j)
        assert report.time_s > 0
        assert report.cost > 0
    assert alg.best().batch_size in SIZES


def test_trials_of_another_searcher_are_stopped_early_too(tmp_path):
    result = run(
        trainables.with_session, tmp_path, scheduler=zeus.EnergyScheduler(target=TARGET), num_samples=4
    )
    assert all(r.stop_reason in ("target reached", "cost cap") for r in reports(result))


def test_a_restored_scheduler_keeps_the_cheapest_cost(tmp_path):
    def train(config):
        trainables.fails_once_then_never_learns(config)

    space = {"batch_size": tune.grid_search([64, 16]), "flag": str(tmp_path / "failed once")}
    tuner = tune.Tuner(
        tune.with_resources(train, zeus.resources()),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            scheduler=zeus.EnergyScheduler(target=TARGET),
            max_concurrent_trials=1,
        ),
        run_config=tune.RunConfig(name="restored", storage_path=str(tmp_path), verbose=0),
    )
    assert len(tuner.fit().errors) == 1
    restored = tune.Tuner.restore(str(tmp_path / "restored"), train, resume_errored=True)
    reasons = {r.config["batch_size"]: r.metrics["zeus/stop_reason"] for r in restored.fit()}
    assert reasons == {64: "target reached", 16: "cost cap"}


def test_asha_allots_joules(tmp_path):
    alg = searcher()
    asha = ASHAScheduler(time_attr="zeus/energy_j", grace_period=1_000, max_t=10_000_000)
    result = run(
        trainables.with_session,
        tmp_path,
        searcher=alg,
        scheduler=zeus.EnergyScheduler(alg, base=asha),
        num_samples=4,
    )
    assert all(trial.status == "TERMINATED" for trial in result.trials)


@pytest.mark.parametrize(
    "train", [trainables.sometimes_raises, trainables.metric_is_sometimes_nan, trainables.runs_out_of_memory]
)
def test_a_batch_size_that_fails_is_not_the_best_and_does_not_end_the_search(tmp_path, train):
    if train is trainables.runs_out_of_memory:
        pytest.importorskip("torch")
    alg = searcher()
    base = ASHAScheduler(time_attr="training_iteration", max_t=30)
    result = run(
        train,
        tmp_path,
        searcher=alg,
        scheduler=zeus.EnergyScheduler(alg, base=base),
        raise_on_failed_trial=False,
        num_samples=10,
    )
    best = alg.best()
    failing = (128,) if train is trainables.runs_out_of_memory else (16,)
    assert best.batch_size not in failing
    for trial in result.trials:
        if trial.last_result and trial.config["batch_size"] in failing:
            assert math.isnan(trial.last_result.get("zeus/cost_to_target", math.nan))
    if train is trainables.runs_out_of_memory:
        assert all(trial.status == "TERMINATED" for trial in result.trials)


def test_with_auto_batch_sizes_the_largest_that_fits_is_found(tmp_path):
    pytest.importorskip("torch")
    alg = searcher(default_batch_size=16, batch_sizes="auto", target=Target("accuracy", 0.5))
    result = run(
        trainables.larger_is_better_until_it_does_not_fit,
        tmp_path,
        searcher=alg,
        scheduler=zeus.EnergyScheduler(alg),
        config={},
        num_samples=30,
    )
    found = reports(result)
    failed = [report for report in found if report.stop_reason == StopReason.OUT_OF_MEMORY]
    assert len(failed) <= 2
    assert max(r.batch_size for r in found if r.stop_reason != StopReason.OUT_OF_MEMORY) == 64
    assert alg.best().batch_size == 64
    assert all(trial.status == "TERMINATED" for trial in result.trials)


def test_simulated_gpus_are_released_at_the_end(ray_local, tmp_path):
    from zeus_ray.actors.lease_gpus_through_actors import GpuActorClient
    from zeus_ray.leases.process import HolderProcess

    run(trainables.with_session, tmp_path, searcher=searcher(), num_samples=2)
    client = GpuActorClient("simulated:V100", "SIM-V100-0", ray_local.nodes()[0]["NodeID"])
    client.release(client.acquire(HolderProcess.current("next"), exclusive=True).lease_id)


def test_verify_trains_both_sides_to_the_end_and_the_report_shows_it(tmp_path):
    alg = searcher()
    result = run(trainables.noisy, tmp_path, searcher=alg, scheduler=zeus.EnergyScheduler(alg), num_samples=6)
    found = zeus.verify(result, best=alg.best(), storage_path=str(tmp_path), reuse_actors=True)
    size = alg.best().batch_size
    assert found.chosen == f"batch size {size} at {alg.best().power_limit_w:.0f} W"
    assert found.default == "batch size 64 at the limit found"
    for metrics, batch_size in ((found.chosen_metrics, size), (found.default_metrics, 64)):
        ends = sorted(trainables.curve(30, batch_size) + seed / 1000 for seed in range(3))
        assert sorted(metrics) == pytest.approx(ends)  # no target stopped them, and each had its seed
    assert found.sentence in zeus.show(result, best=alg.best(), verified=found).sentences


def test_verify_refuses_results_that_it_cannot_compare(tmp_path):
    result = run(trainables.with_session, tmp_path, num_samples=1)
    with pytest.raises(zeus.BadInput, match="repeats"):
        zeus.verify(result, repeats=2)
    with pytest.raises(zeus.BadInput, match="ZeusSearcher"):
        zeus.verify(result)


def test_a_search_starts_from_earlier_ones_and_from_given_points(tmp_path):
    first = searcher(history=tmp_path / "first")
    run(trainables.with_session, tmp_path, searcher=first, num_samples=8)
    second = searcher(warm_start=[tmp_path / "first"], points_to_evaluate=[16, {"batch_size": 128}])
    result = run(trainables.with_session, tmp_path, searcher=second, num_samples=2, max_concurrent_trials=1)
    assert [report.batch_size for report in reports(result)] == [16, 128]
    assert {p.gpu for p in second.search.profiles} == {"simulated V100"}
    assert len(second.search.state()["search"]["runs"]) > 2


def test_summaries_of_tune_run_and_of_tuner_fit(tmp_path):
    reached = TrialReport(batch_size=8, energy_j=100.0, time_s=10.0, cost_to_target=10.0, target_reached=True)
    row = {"acc": 0.91, **reached.to_result()}

    def train(config):  # within the test: Ray's workers cannot import this file
        if config["batch_size"] == 16:
            raise ValueError("does not train")
        tune.report(row)

    space = {"batch_size": tune.grid_search([8, 16])}
    analysis = tune.run(
        train, config=space, storage_path=str(tmp_path), raise_on_failed_trial=False, verbose=0
    )
    settings = tune.RunConfig(storage_path=str(tmp_path), verbose=0)
    grid = tune.Tuner(train, param_space=space, run_config=settings).fit()
    for found in (summaries(analysis, "acc"), summaries(grid, "acc")):
        assert (found[0].batch_size, found[0].target_reached) == (8, True)
        assert [t.stop_reason for t in found] == ["", "error"]
        assert found[0].metric == 0.91
