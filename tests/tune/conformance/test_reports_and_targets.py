"""What else trials report, and targets of any sign and size."""

import math

import numpy as np
import pytest

pytestmark = pytest.mark.ray
tune = pytest.importorskip("ray.tune")

from conformance_jobs import Job, accuracy  # noqa: E402
from test_lengths import search, searcher  # noqa: E402 — after the marker: importing it takes seconds

from zeus_ray.records import Target  # noqa: E402

REPORTS = {
    "a done of its own": lambda job: {"done": job.epoch >= 25},
    "a nested dictionary": lambda job: {"a": {"b": {"c": job.epoch}}, "empty": {}},
    "a long list": lambda job: {"history": list(range(job.epoch)), "text": "x" * 10},
    "arrays": lambda _: {"confusion": np.eye(3), "none": None},
    "should_checkpoint": lambda _: {"should_checkpoint": True},
    "a key of ours by name": lambda _: {"batch_size": 1, "energy_j": -1, "cost": -5},
    "another config": lambda _: {"config": {"batch_size": 1}},
    "time of its own": lambda _: {"time_this_iter_s": 1.0, "timesteps_this_iter": 10},
}


@pytest.mark.parametrize("name", REPORTS)
def test_what_else_a_trial_reports_changes_no_answer(tmp_path, name):
    plain, odd = searcher(), searcher()
    search(plain, tmp_path / "plain", num_samples=5, max_concurrent_trials=1)
    train = type("Odd", (Job,), {"metric": lambda self: {**Job.metric(self), **REPORTS[name](self)}})
    result = search(odd, tmp_path / "odd", train=train, num_samples=5, max_concurrent_trials=1)
    assert not [trial for trial in result.trials if trial.status == "ERROR"]
    assert odd.best() == plain.best()


TARGETS = {
    "zero from below": (Target("score", 0.0, "max"), lambda a: a - 0.9),
    "zero from above": (Target("score", 0.0, "min"), lambda a: 0.9 - a),
    "negative": (Target("score", -5.0, "max"), lambda a: 100 * (a - 0.95)),
    "huge": (Target("score", 9e8, "max"), lambda a: 1e9 * a),
    "tiny": (Target("score", 1e-9, "min"), lambda a: 1e-9 * (1.9 - a)),
}


@pytest.mark.parametrize("name", TARGETS)
def test_targets_of_any_sign_and_size(tmp_path, name):
    target, score = TARGETS[name]
    train = type(
        "Scored", (Job,), {"metric": lambda self: {"score": score(accuracy(self.epoch, self.size) + 1e-6)}}
    )
    plain, odd = searcher(), searcher(target=target)
    search(plain, tmp_path / "1", num_samples=6, max_concurrent_trials=1)
    result = search(odd, tmp_path / "2", train=train, num_samples=6, max_concurrent_trials=1)
    assert any(trial.last_result["zeus/target_reached"] for trial in result.trials)
    assert math.isfinite(odd.best().cost.mean)


def test_a_target_that_the_first_report_reaches(tmp_path):
    alg = searcher(target=Target("accuracy", 0.01))
    result = search(alg, tmp_path, num_samples=6)
    assert all(
        t.last_result["training_iteration"] == 1
        for t in result.trials
        if t.last_result["zeus/target_reached"]
    )
    assert math.isfinite(alg.best().cost.mean)


class Mixed(Job):
    """Reports every second time by ``tune.report`` alone, as a loop with both kinds of reports."""

    def keys(self, result):
        keys = super().keys(result)
        return {} if self.epoch % 2 == 0 and not keys.get("done") else keys


def test_results_without_energy_among_measured_ones_count_for_nothing_and_are_said_once(tmp_path, caplog):
    plain, mixed = searcher(), searcher()
    search(plain, tmp_path / "1", num_samples=4, max_concurrent_trials=1)
    result = search(mixed, tmp_path / "2", train=Mixed, num_samples=4, max_concurrent_trials=1)
    assert mixed.best().energy_j.mean == pytest.approx(plain.best().energy_j.mean, rel=0.05)
    assert caplog.text.count("reports by tune.report beside run.report") == 1
    assert all(math.isfinite(trial.last_result["zeus/energy_j"]) for trial in result.trials)
