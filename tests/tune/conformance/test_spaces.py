"""Search spaces of every shape: what a trial trains with is what the search books."""

import json

import numpy as np
import pytest

pytestmark = pytest.mark.ray
tune = pytest.importorskip("ray.tune")

from conformance_jobs import SIZES, TARGET, Job, Unmetered  # noqa: E402
from in_process import run  # noqa: E402 — after the marker: importing it takes seconds
from ray.tune.search import BasicVariantGenerator, Searcher  # noqa: E402
from test_lengths import search, searcher  # noqa: E402

import zeus_ray as zeus  # noqa: E402
from zeus_ray.records import Plan  # noqa: E402


class NestedJob(Job):
    SIZE_KEY = "train/batch_size"


NESTED = "train/batch_size"
SPACES = {
    "in config": ({}, {"train": {"batch_size": tune.choice(SIZES), "lr": tune.uniform(0, 1)}}),
    "in space": ({"space": {"train": {"batch_size": tune.choice(SIZES)}}}, {"train": {"lr": 0.1}}),
    "by argument": ({"batch_sizes": SIZES}, {"train": {"lr": 0.1}}),
    "by argument, no config": ({"batch_sizes": np.array(SIZES)}, {}),
    "numpy integers": ({}, {"train": {"batch_size": tune.choice([np.int64(s) for s in SIZES])}}),
    "one point": (
        {"points_to_evaluate": [np.int32(16), {"train": {"batch_size": np.int64(128)}}, {NESTED: 32}]},
        {"train": {"batch_size": tune.choice(SIZES)}},
    ),
}


@pytest.mark.parametrize("case", SPACES)
def test_a_nested_batch_size_is_trained_as_it_is_booked(tmp_path, case):
    options, config = SPACES[case]
    alg = searcher(batch_size_key=NESTED, **options)
    result = search(alg, tmp_path, train=NestedJob, config=config, num_samples=5)
    assert len(result.trials) >= 3
    for trial in result.trials:
        plan = Plan.from_config(trial.config["zeus"])
        assert (
            trial.config["train"]["batch_size"]
            == plan.knobs.batch_size
            == trial.last_result["zeus/batch_size"]
        )
        assert type(trial.config["train"]["batch_size"]) is int
        assert "batch_size" not in trial.config
        assert trial.config["train"].get("lr", 0.1) <= 1.0
    assert alg.best().batch_size in SIZES


@pytest.mark.parametrize(
    ("options", "config", "words"),
    [
        ({}, {"train": {"batch_size": tune.choice(SIZES)}}, "batch_size_key='train/batch_size'"),
        ({"batch_sizes": SIZES}, {"train": {"batch_size": tune.choice(SIZES)}}, "train/batch_size"),
        ({"batch_size_key": NESTED}, {"train": {"lr": 0.1}}, "no batch sizes: put 'train/batch_size'"),
        ({"batch_size_key": NESTED}, {"train": {"batch_size": tune.uniform(1, 9)}}, "'train/batch_size' as"),
        ({"batch_size_key": NESTED, "points_to_evaluate": [{"batch_size": 16}]}, {}, "train/batch_size"),
        (
            {"space": {"batch_size": tune.choice(SIZES), "lr": 0.1}},
            {"lr": tune.uniform(0, 1)},
            "'lr' is 0.1 in ZeusSearcher",
        ),
    ],
)
def test_a_space_that_would_be_trained_otherwise_is_an_error(options, config, words):
    with pytest.raises(zeus.BadInput, match=words):
        searcher(**options).set_search_properties("accuracy", "max", config)


def test_functions_of_the_space_read_the_batch_size_and_each_other(tmp_path):
    config = {
        "batch_size": tune.choice(SIZES),
        "lr": tune.sample_from(lambda spec: spec.config.batch_size * 1e-3),
        "optimizer": {"momentum": tune.uniform(0.5, 0.9), "name": "sgd"},
        "decay": tune.sample_from(lambda spec: spec.config["optimizer"]["momentum"] / 10),
    }
    result = search(searcher(), tmp_path, config=config, num_samples=4)
    for trial in result.trials:
        assert trial.config["lr"] == trial.config["batch_size"] * 1e-3
        assert trial.config["decay"] == trial.config["optimizer"]["momentum"] / 10
        assert trial.config["optimizer"]["name"] == "sgd"
    assert len({trial.config["batch_size"] for trial in result.trials}) > 1


def test_a_space_with_constants_beside_domains_needs_no_config(tmp_path):
    space = {"batch_size": tune.choice(SIZES), "lr": tune.uniform(0, 1), "epochs": 7, "model": {"depth": 3}}
    result = search(searcher(space=space), tmp_path, config={}, num_samples=3)
    for trial in result.trials:
        assert (trial.config["epochs"], trial.config["model"]) == (7, {"depth": 3})
        assert 0 <= trial.config["lr"] <= 1


class Lists(Searcher):
    """As people write them: it goes through a list, and knows nothing of spaces."""

    def __init__(self, answers, **options):
        super().__init__(metric="accuracy", mode="max", **options)
        self.answers, self.seen, self.ended = list(answers), {}, []

    def suggest(self, trial_id):
        if not self.answers:
            return None
        self.seen[trial_id] = []
        return self.answers.pop(0)

    def on_trial_result(self, trial_id, result):
        self.seen[trial_id].append(result["accuracy"])

    def on_trial_complete(self, trial_id, result=None, error=False):
        self.ended.append((trial_id, None if result is None else result["accuracy"], error))

    def save(self, checkpoint_path):
        pass

    def restore(self, checkpoint_path):
        pass


@pytest.mark.parametrize("config", [{"batch_size": tune.choice(SIZES)}, {}])
def test_another_searcher_is_asked_for_every_trial_and_told_of_its_own(tmp_path, config):
    other = Lists([{"lr": 0.1 * n, "model": {"depth": n}} for n in range(1, 9)])
    alg = searcher(other_searcher=other, baseline=True, **({} if config else {"batch_sizes": SIZES}))
    result = search(alg, tmp_path, config=config, num_samples=5)
    assert [t.config["lr"] for t in result.trials] == [0.1 * n for n in range(1, len(result.trials) + 1)]
    assert [t.config["model"]["depth"] for t in result.trials] == list(range(1, len(result.trials) + 1))
    ids = [trial.trial_id for trial in result.trials]
    assert sorted(other.seen) == sorted(ids)
    assert sorted(trial_id for trial_id, *_ in other.ended) == sorted(ids)
    alg.on_trial_result("another", {"accuracy": 0.5})  # which it did not suggest
    alg.on_trial_complete("another", {"accuracy": 0.5})
    alg.on_trial_complete(ids[0], {"accuracy": 0.5})  # and one that has ended
    assert len(other.ended) == len(ids)


def test_another_searcher_with_a_space_of_its_own_chooses_beside_what_is_sampled(tmp_path):
    optuna = pytest.importorskip("optuna")
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = {"lr": optuna.distributions.FloatDistribution(1e-4, 1e-1)}
    other = OptunaSearch(space=space, metric="accuracy", mode="max", seed=0)
    config = {"batch_size": tune.choice(SIZES), "drop": tune.uniform(0, 1)}
    result = search(searcher(other_searcher=other), tmp_path, config=config, num_samples=4)
    for trial in result.trials:
        assert 1e-4 <= trial.config["lr"] <= 1e-1
        assert 0 <= trial.config["drop"] <= 1
    assert len(other._ot_study.trials) == len(result.trials)


def test_another_searcher_that_chooses_the_batch_size_is_refused():
    alg = searcher(other_searcher=Lists([{"batch_size": 7}]), batch_sizes=SIZES)
    with pytest.raises(zeus.BadInput, match="other_searcher suggests 'batch_size'"):
        alg.suggest("a")


def test_the_plan_is_one_entry_with_a_short_name(tmp_path):
    config = {"batch_size": tune.choice(SIZES), "lr": tune.uniform(0, 1), "data": "x" * 10}
    result = search(searcher(), tmp_path, config=config, num_samples=3)
    for trial in result.trials:
        assert f"batch_size={trial.config['batch_size']}" in trial.experiment_tag
        assert f"lr={trial.config['lr']:.4f}" in trial.experiment_tag
        assert len(trial.experiment_tag) < 80
        plan = Plan.from_config(trial.config["zeus"])
        assert str(trial.config["zeus"]) == plan.knobs.run_id
        assert Plan.from_config(json.loads(json.dumps(trial.config))["zeus"]) == plan
    columns = [name for name in result.results_df.columns if "config/zeus" in name]
    assert columns == ["config/zeus"]


def test_trials_of_another_searcher_carry_one_entry_too(tmp_path):
    scheduler = zeus.EnergyScheduler(target=TARGET, carbon=zeus.EmissionsConfig(signal="constant:400"))
    result = run(
        Unmetered,
        tmp_path,
        search_alg=BasicVariantGenerator(),
        scheduler=scheduler,
        config={"batch_size": tune.choice(SIZES)},
        num_samples=2,
        stop={"training_iteration": 2},
    )
    for trial in result.trials:
        carried = json.loads(trial.config["zeus"])
        assert carried["target"]["metric"] == "accuracy"
        assert carried["emissions"]["signal"] == "constant:400"
    assert [name for name in result.results_df.columns if "config/zeus" in name] == ["config/zeus"]
