"""Settings of runs and of tuning, callbacks, trainables: each leaves the answer as it is, or is refused."""

import contextlib
import datetime as dt
import math

import pytest

pytestmark = pytest.mark.ray
tune = pytest.importorskip("ray.tune")

from conformance_jobs import SIZES, TARGET, Job  # noqa: E402
from ray.tune.schedulers import ResourceChangingScheduler  # noqa: E402 — after the marker: importing it takes seconds
from ray.tune.search import ConcurrencyLimiter  # noqa: E402
from ray.tune.stopper import ExperimentPlateauStopper, FunctionStopper, TimeoutStopper  # noqa: E402
from test_lengths import search, searcher  # noqa: E402
from test_odd_uses import fit  # noqa: E402

import zeus_ray as zeus  # noqa: E402

RUN_CONFIGS = {
    "time_total_s": {"stop": {"time_total_s": 10_000}},
    "cost to target": {"stop": {"zeus/cost_to_target": 10**9}},
    "timeout": {"stop": TimeoutStopper(dt.timedelta(hours=1))},
    "function": {"stop": FunctionStopper(lambda _id, result: result["training_iteration"] > 40)},
    "plateau of the experiment": {
        "stop": ExperimentPlateauStopper("accuracy", mode="max", std=1e-9, top=50, patience=1000)
    },
    "checkpoints by a score": {
        "checkpoint_config": tune.CheckpointConfig(
            num_to_keep=1,
            checkpoint_score_attribute="zeus/cost",
            checkpoint_score_order="min",
            checkpoint_frequency=1,
            checkpoint_at_end=True,
        )
    },
    "failures": {"failure_config": tune.FailureConfig(max_failures=2)},
    "a name with a slash": {"name": "a name/with a slash"},
}


@pytest.mark.parametrize("name", RUN_CONFIGS)
def test_settings_of_a_run_change_no_answer(tmp_path, name):
    alg = searcher()
    results = fit(tmp_path, alg, run_options=RUN_CONFIGS[name])
    assert not results.errors
    assert math.isfinite(alg.best().cost.mean)
    assert zeus.recommended(results) == alg.best()
    assert not alg.search.pending


WIDTHS = {
    "time budget as timedelta": {"time_budget_s": dt.timedelta(minutes=5)},
    "one at a time": {"max_concurrent_trials": 1},
    "more than trials": {"max_concurrent_trials": 64},
    "reused actors": {"reuse_actors": True},
}


@pytest.mark.parametrize("name", WIDTHS)
def test_settings_of_tuning_change_no_answer(tmp_path, name):
    alg = searcher()
    results = fit(tmp_path, alg, **WIDTHS[name])
    assert not results.errors
    assert math.isfinite(alg.best().cost.mean)


def test_a_limiter_and_max_concurrent_trials_together(tmp_path):
    alg = searcher()
    limited = ConcurrencyLimiter(alg, max_concurrent=2)
    scheduler = zeus.EnergyScheduler(limited)
    search(limited, tmp_path, scheduler=scheduler, num_samples=3, max_concurrent_trials=2)
    assert math.isfinite(alg.best().cost.mean)


DISAGREE = {
    "metric": ({"metric": "loss", "mode": "max"}, "accuracy"),
    "mode": ({"metric": "accuracy", "mode": "min"}, "mode"),
}


@pytest.mark.parametrize("name", DISAGREE)
def test_another_metric_or_mode_than_the_targets_is_refused(tmp_path, name):
    options, words = DISAGREE[name]
    with pytest.raises(zeus.BadInput, match=words):
        fit(tmp_path, searcher(), **options)


def test_metric_and_mode_in_both_places_are_one(tmp_path):
    alg = searcher(metric="accuracy", mode="max")
    fit(tmp_path, alg, metric="accuracy", mode="max")
    assert math.isfinite(alg.best().cost.mean)


def test_a_metric_of_the_searcher_that_is_not_the_targets_is_refused():
    with pytest.raises(zeus.BadInput, match=r"loss.*accuracy|accuracy.*loss"):
        zeus.ZeusSearcher(target=TARGET, default_batch_size=64, batch_sizes=SIZES, metric="loss", mode="min")


def test_a_registered_trainable_is_searched(tmp_path):
    tune.register_trainable("conformance-job", Job)
    alg = searcher()
    search(alg, tmp_path, train="conformance-job", num_samples=4)
    assert math.isfinite(alg.best().cost.mean)


def test_resources_of_a_trial_may_change(tmp_path):
    def more(_controller, _trial, result, _scheduler):
        return tune.PlacementGroupFactory([{"CPU": 2}]) if result["training_iteration"] == 2 else None

    alg = searcher()
    base = ResourceChangingScheduler(resources_allocation_function=more)
    result = search(
        alg,
        tmp_path,
        scheduler=zeus.EnergyScheduler(alg, base=base),
        num_samples=4,
        resources_per_trial={"cpu": 1},
    )
    assert all(trial.status == "TERMINATED" for trial in result.trials)
    assert math.isfinite(alg.best().cost.mean)


class Records(tune.Callback):
    def __init__(self):
        self.ends = []

    def on_trial_complete(self, *_given, trial, **_info):
        self.ends.append((trial.trial_id, trial.last_result["zeus/stop_reason"]))


def test_a_callback_sees_every_end_once_with_its_reason(tmp_path):
    records, alg = Records(), searcher()
    result = search(alg, tmp_path, num_samples=5, callbacks=[records])
    assert sorted(trial_id for trial_id, _ in records.ends) == sorted(t.trial_id for t in result.trials)
    assert all(reason for _, reason in records.ends)


class Raises(tune.Callback):
    def on_trial_result(self, *_given, result, **_info):
        if result["training_iteration"] == 3:
            raise RuntimeError("a logger that is out of space")


def test_a_callback_that_raises_ends_the_experiment_and_the_searcher_goes_on(tmp_path):
    alg = searcher()
    with contextlib.suppress(Exception):
        search(alg, tmp_path / "1", num_samples=5, callbacks=[Raises()])
    search(alg, tmp_path / "2", num_samples=5)
    assert math.isfinite(alg.best().cost.mean)
    assert not alg.search.pending


@pytest.mark.parametrize("count", [0, -2])
def test_a_number_of_trials_that_is_none(tmp_path, count):
    alg = searcher()
    with contextlib.suppress(ValueError, zeus.BadInput):
        result = search(alg, tmp_path, num_samples=count)
        assert len(result.trials) < 40
