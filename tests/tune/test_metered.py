"""``zeus.metered``: what an unchanged trainable sees, and how few reports make a profile."""

import sys

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
tune = pytest.importorskip("ray.tune")

from ray import cloudpickle  # noqa: E402 — after the marker: importing it takes seconds

import zeus_ray as zeus  # noqa: E402
from zeus_ray.records import PowerProfile, TrialReport, from_json, read_carried  # noqa: E402

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import the tests


def searcher():
    return zeus.ZeusSearcher(target=zeus.Target("accuracy", 2.0), default_batch_size=64, max_epochs=10)


def third_party(parameters):
    """As a library that takes every entry for a parameter of its own, and warns of others."""
    return sorted(parameters)


def boosts(config):
    for epoch in range(10):
        tune.report({"accuracy": epoch / 10, "parameters": third_party(config)})


class Boosts(tune.Trainable):
    def setup(self, config):
        self.at_setup = third_party(config) + third_party(self.config)

    def step(self):
        return {
            "accuracy": self.iteration / 10,
            "parameters": sorted({*self.at_setup, *third_party(self.config)}),
            "done": self.iteration == 9,
        }

    def reset_config(self, config):
        self.at_setup = third_party(config) + third_party(self.config)
        return True


def opens_a_session(config):
    with zeus.session(config) as run:
        for epoch in range(10):
            list(run.steps([None] * 50))
            run.report({"accuracy": epoch / 10, "parameters": third_party(run.config)})


@pytest.mark.parametrize("trainable", [zeus.metered(boosts), zeus.metered(Boosts), opens_a_session])
def test_our_entry_of_the_config_never_reaches_a_third_party(tmp_path, trainable):
    alg = searcher()
    result = tune.run(
        trainable,
        config={"batch_size": tune.choice([32, 64]), "depth": 3},
        metric="accuracy",
        mode="max",
        search_alg=alg,
        scheduler=zeus.EnergyScheduler(alg),
        num_samples=2,
        storage_path=str(tmp_path),
        reuse_actors=True,
        max_concurrent_trials=1,
        verbose=0,
    )
    for trial in result.trials:
        assert trial.last_result["parameters"] == ["batch_size", "depth"]
        assert "zeus" in trial.config
        assert read_carried(trial.last_result["config"])["knobs"]["batch_size"] == trial.config["batch_size"]


def test_ten_reports_are_enough_for_a_profile_of_any_number_of_limits(tmp_path):
    """As under PBT, which takes no searcher: each trial profiles by itself, 10 reports of 21 limits."""
    result = tune.run(
        zeus.metered(boosts),
        config={"batch_size": 64, "lr": tune.uniform(0.1, 1)},
        scheduler=tune.schedulers.PopulationBasedTraining(
            metric="accuracy", mode="max", perturbation_interval=20, hyperparam_mutations={"lr": [0.1, 1.0]}
        ),
        num_samples=2,
        storage_path=str(tmp_path),
        reuse_actors=True,
        verbose=0,
    )
    for trial in result.trials:
        report = TrialReport.from_result(trial.last_result)
        assert 3 <= len(from_json(PowerProfile, report.profile).points) <= 5
        assert report.epochs == 10
