"""Wrappers and bases around and underneath: each works, or is refused with its reason before a trial."""

import copy
import math
import pickle
from typing import ClassVar

import pytest

pytestmark = pytest.mark.ray
tune = pytest.importorskip("ray.tune")

from conformance_jobs import SIZES, Job  # noqa: E402
from in_process import run  # noqa: E402 — after the marker: importing it takes seconds
from ray.tune.schedulers import (  # noqa: E402
    ASHAScheduler,
    FIFOScheduler,
    HyperBandForBOHB,
    HyperBandScheduler,
    MedianStoppingRule,
)
from ray.tune.search import ConcurrencyLimiter, Repeater, Searcher  # noqa: E402
from test_lengths import search, searcher  # noqa: E402

import zeus_ray as zeus  # noqa: E402


class Means(Searcher):
    """A wrapper that keeps results to itself, and does not look at the metric before it begins."""

    def __init__(self, inner):
        super().__init__()
        self.searcher = inner

    def set_search_properties(self, metric, mode, config, **spec):
        return self.searcher.set_search_properties(metric, mode, config, **spec)

    def suggest(self, trial_id):
        return self.searcher.suggest(trial_id)

    def on_trial_complete(self, trial_id, result=None, error=False):  # noqa: ARG002 — it rewrites them
        self.searcher.on_trial_complete(trial_id, result={"accuracy": 0.5})

    def save(self, checkpoint_path):
        self.searcher.save(checkpoint_path)

    def restore(self, checkpoint_path):
        self.searcher.restore(checkpoint_path)

    def get_state(self):
        return {}

    def set_state(self, state):
        pass


class PassesOn(Means):
    """A wrapper that passes everything on."""

    def on_trial_result(self, trial_id, result):
        self.searcher.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id, result=None, error=False):
        self.searcher.on_trial_complete(trial_id, result=result, error=error)


@pytest.mark.parametrize("wrap", [lambda alg: alg, lambda alg: ConcurrencyLimiter(alg, max_concurrent=2)])
def test_a_repeater_is_refused(tmp_path, wrap):
    alg = searcher()
    with pytest.raises(zeus.BadInput, match="Repeater does not pass on"):
        search(Repeater(wrap(alg), repeat=3), tmp_path, scheduler=False, num_samples=6)


def test_a_repeater_is_refused_at_construction():
    with pytest.raises(zeus.BadInput, match="Repeater"):
        Repeater(searcher(), repeat=3)


@pytest.mark.parametrize("scheduler", [True, False])
@pytest.mark.parametrize("config", [None, {}])
def test_a_wrapper_that_keeps_results_to_itself_is_refused(tmp_path, scheduler, config):
    alg = searcher(batch_sizes=SIZES)
    with pytest.raises(zeus.BadInput, match="Means does not pass on"):
        search(
            Means(alg),
            tmp_path,
            scheduler=zeus.EnergyScheduler() if scheduler else None,
            config={"lr": tune.uniform(0, 1)} if config is None else config,
            num_samples=3,
        )


WRAPPED = {
    "limiter": lambda alg: ConcurrencyLimiter(alg, max_concurrent=2),
    "batches": lambda alg: ConcurrencyLimiter(alg, max_concurrent=3, batch=True),
    "limiter of a wrapper": lambda alg: ConcurrencyLimiter(PassesOn(alg), max_concurrent=2),
    "a wrapper": PassesOn,
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_wrapper_that_passes_results_on_changes_nothing(tmp_path, name):
    alg = searcher()
    wrapped = WRAPPED[name](alg)
    result = search(wrapped, tmp_path, scheduler=zeus.EnergyScheduler(wrapped), num_samples=6)
    assert not alg.search.pending
    assert alg.search.exploration().default_cost_j > 0
    assert math.isfinite(alg.best().cost.mean)
    assert any(t.last_result["zeus/stop_reason"] == "target reached" for t in result.trials)


def test_the_scheduler_finds_the_searcher_that_tune_has_and_refuses_another(tmp_path):
    alg = searcher()
    scheduler = zeus.EnergyScheduler()
    search(alg, tmp_path, scheduler=scheduler, num_samples=2)
    assert scheduler._searcher is alg
    with pytest.raises(zeus.BadInput, match="same ZeusSearcher"):
        search(searcher(), tmp_path, scheduler=zeus.EnergyScheduler(searcher()), num_samples=2)


@pytest.mark.parametrize("apart", [copy.deepcopy, lambda alg: pickle.loads(pickle.dumps(alg))])  # noqa: S301 — ours
def test_a_scheduler_with_a_copy_of_the_searcher_uses_tunes_own(tmp_path, apart):
    """As through Ray Client, which pickles the arguments of ``tune.run`` apart."""
    alg = searcher()
    result = search(alg, tmp_path, scheduler=zeus.EnergyScheduler(apart(alg)), num_samples=5)
    assert math.isfinite(alg.best().cost.mean)
    assert all(trial.last_result["zeus/stop_reason"] for trial in result.trials)


class StopsEarly(FIFOScheduler):
    def on_trial_result(self, _controller, _trial, result):
        return self.STOP if result["training_iteration"] >= 3 else self.CONTINUE


BASES = {
    "asha": lambda: ASHAScheduler(max_t=60, grace_period=2),
    "asha by name": lambda: "asha",
    "asha on joules": lambda: ASHAScheduler(time_attr="zeus/energy_j", grace_period=1000, max_t=10**7),
    "median": lambda: MedianStoppingRule(grace_period=2, min_samples_required=2),
    "stops all": StopsEarly,
}


@pytest.mark.parametrize("name", BASES)
def test_what_a_base_ends_is_no_failure_of_its_batch_size(tmp_path, name):
    alg = searcher()
    result = search(
        alg,
        tmp_path,
        scheduler=zeus.EnergyScheduler(alg, base=BASES[name]()),
        metric="accuracy",
        mode="max",
        num_samples=8,
    )
    assert not [trial for trial in result.trials if trial.status == "ERROR"]
    for trial in result.trials:
        row = trial.last_result
        assert row["zeus/stop_reason"]
        if not row["zeus/target_reached"]:
            assert row["zeus/stop_reason"] in ("not worth it", "cost cap", "profiled")
    assert not alg.search.pending


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: zeus.EnergyScheduler(base=HyperBandScheduler()), "HyperBandScheduler, which waits"),
        (lambda: zeus.EnergyScheduler(base=HyperBandForBOHB()), "ASHAScheduler"),
        (lambda: zeus.EnergyScheduler(base="hyperband"), "HyperBandScheduler"),
        (lambda: zeus.EnergyScheduler(base="fastest"), "fastest"),
        (lambda: zeus.EnergyScheduler(base=7), "base is 7"),
        (lambda: zeus.EnergyScheduler("asha"), "given as base="),
        (lambda: zeus.EnergyScheduler(ASHAScheduler()), "given as base="),
        (lambda: zeus.EnergyScheduler(target=0.95), "target is 0.95"),
        (lambda: searcher(target=0.95), r"target is 0.95; allowed: Target\(metric"),
        (lambda: searcher(target=("accuracy", 0.9)), "target is"),
        (lambda: searcher(other_searcher="optuna"), "other_searcher is 'optuna'"),
        (lambda: searcher(points_to_evaluate=["16"]), "point to evaluate '16'"),
        (lambda: searcher(max_slowdown=0.5), "max_slowdown is 0.5"),
        (lambda: searcher(exploration_budget=-1), "exploration_budget is -1"),
        (lambda: zeus.resources(gpus=-1), "gpus is -1"),
        (lambda: zeus.resources(gpus=0.5), "gpus is 0.5"),
        (lambda: zeus.resources(cpus=0), "cpus is 0"),
    ],
)
def test_what_cannot_work_is_refused_with_what_is_allowed(make, words):
    with pytest.raises(zeus.BadInput, match=words):
        make()


@pytest.mark.parametrize("buffered", [True, False])
def test_buffered_results_are_the_bases_matter(buffered):
    base = type("Base", (FIFOScheduler,), {"_supports_buffered_results": buffered})()
    assert zeus.EnergyScheduler(base=base).supports_buffered_results is buffered


@pytest.mark.parametrize("count_shared", [True, False])
def test_parts_of_gpus_are_said_before_the_first_trial_and_counted_where_asked(
    tmp_path, caplog, count_shared
):
    class Shared(Job):
        CHANGED: ClassVar = {"zeus/shared": True}

    alg = searcher(count_shared=count_shared)
    search(
        alg,
        tmp_path,
        train=Shared,
        num_samples=5,
        resources_per_trial={"cpu": 1, "gpu": 0.5},
        cluster_gpus=1.0,
    )
    assert ("share" in caplog.text) is not count_shared
    if count_shared:
        assert math.isfinite(alg.best().cost.mean)
    else:
        with pytest.raises(zeus.ZeusError, match=r"nothing to recommend|no run has ended"):
            alg.best()
        assert caplog.text.index("ask for 0.5 GPU") < caplog.text.index("trials share their GPUs")


def test_whole_gpus_need_no_word(tmp_path, caplog):
    alg = searcher()
    result = run(
        Job,
        tmp_path,
        search_alg=alg,
        scheduler=zeus.EnergyScheduler(alg),
        config={"batch_size": tune.choice(SIZES)},
        num_samples=2,
        resources_per_trial={"cpu": 1, "gpu": 1},
        cluster_gpus=1.0,
    )
    assert "share" not in caplog.text
    assert len(result.trials) == 2
