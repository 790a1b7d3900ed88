"""Searchers, schedulers, names and configs that are used a second time."""

import math

import pytest

pytestmark = pytest.mark.ray
tune = pytest.importorskip("ray.tune")

from conformance_jobs import Job  # noqa: E402
from in_process import run  # noqa: E402 — after the marker: importing it takes seconds
from test_lengths import search, searcher  # noqa: E402
from test_odd_uses import fit  # noqa: E402

import zeus_ray as zeus  # noqa: E402


def test_a_saved_searcher_goes_on_in_a_new_experiment(tmp_path):
    alg = searcher()
    search(alg, tmp_path / "1", num_samples=3)
    alg.save(str(tmp_path / "state.pkl"))
    again = searcher()
    again.restore(str(tmp_path / "state.pkl"))
    assert again.best() == alg.best()
    search(again, tmp_path / "2", num_samples=3)
    assert math.isfinite(again.best().cost.mean)
    assert not again.search.pending


def test_the_config_of_the_best_trial_can_be_run_again(tmp_path):
    alg = searcher()
    best = fit(tmp_path, alg, num_samples=6).get_best_result("zeus/cost_to_target", "min")
    result = run(Job, tmp_path / "again", config=best.config, num_samples=2)
    for trial in result.trials:
        assert trial.config["batch_size"] == best.config["batch_size"]
        assert trial.status == "TERMINATED"
    with pytest.raises(zeus.BadInput, match="reserved"):
        search(searcher(), tmp_path / "searched", config=best.config, num_samples=2)


def test_two_searchers_one_after_the_other_with_one_scheduler_are_refused(tmp_path):
    first, second = searcher(), searcher()
    scheduler = zeus.EnergyScheduler(first)
    search(first, tmp_path / "1", scheduler=scheduler, num_samples=2)
    with pytest.raises(zeus.BadInput, match="search_alg"):
        search(second, tmp_path / "2", scheduler=scheduler, num_samples=2)


def test_a_searcher_of_two_experiments_with_one_name(tmp_path):
    alg = searcher()
    search(alg, tmp_path, name="same", num_samples=3)
    search(alg, tmp_path, name="same", num_samples=3)
    assert math.isfinite(alg.best().cost.mean)


def test_the_same_searcher_once_more_trains_its_answer_again_and_is_surer(tmp_path):
    alg = searcher()
    search(alg, tmp_path / "1", num_samples=12)
    assert alg.search.finished
    first = alg.best()
    result = search(alg, tmp_path / "2", num_samples=12)
    assert result.trials[0].config["batch_size"] == first.batch_size
    again = alg.best()
    assert again.runs == first.runs + 1
    assert again.batch_size == first.batch_size
    (low, high), (low_before, high_before) = ((b.cost.low, b.cost.high) for b in (again, first))
    assert high / low < high_before / low_before
