"""``zeus.metered``: what an unchanged trainable sees, and how few reports make a profile."""

import json
import sys
from pathlib import Path

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


class SetsItselfUpAgain(Boosts):
    def reset_config(self, config):
        self.setup(config)
        return True


class ResetsItselfAtSetup(Boosts):
    def setup(self, config):
        self.reset_config(config)


class CleansUpAndSetsUpAgain(Boosts):
    def reset_config(self, config):
        self.cleanup()
        self.setup(config)
        return True


class SetsItselfUpInAStep(Boosts):
    def step(self):
        if self.iteration == 3:
            self.setup(self.config)
        return super().step()


KINDS = [SetsItselfUpAgain, ResetsItselfAtSetup, CleansUpAndSetsUpAgain, SetsItselfUpInAStep]


@pytest.mark.parametrize("kind", KINDS)
def test_a_trainable_that_calls_its_own_setup_has_one_session_per_trial(tmp_path, kind):
    alg = searcher()
    result = tune.run(
        zeus.metered(kind),
        config={"batch_size": tune.choice([32, 64])},
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
        report = TrialReport.from_result(trial.last_result)
        assert (report.attempt, report.shared) == (1, False)
        assert report.run_id == read_carried(trial.config)["knobs"]["run_id"]
        assert len(list(tmp_path.rglob(f"*{trial.trial_id}*/zeus-attempt-*.json"))) == 1
        assert len(list(tmp_path.rglob(f"*{trial.trial_id}*/zeus-power-*.json"))) == 1


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


def in_two_phases(config):
    for phase in range(2):
        with zeus.session(config) as run:
            for epoch in range(2):
                list(run.steps([None] * 50))
                run.report({"accuracy": (2 * phase + epoch) / 10})


def search(trainable, tmp_path):
    alg = searcher()
    return tune.run(
        trainable,
        config={"batch_size": tune.choice([32, 64])},
        search_alg=alg,
        scheduler=zeus.EnergyScheduler(alg),
        num_samples=1,
        storage_path=str(tmp_path),
        raise_on_failed_trial=False,
        verbose=0,
    )


def test_a_second_session_of_a_trial_goes_on_with_its_epochs_and_energy(tmp_path):
    (trial,) = search(in_two_phases, tmp_path).trials
    report = TrialReport.from_result(trial.last_result)
    assert (report.epochs, report.attempt) == (4, 2)
    lines = [json.loads(line) for line in next(tmp_path.rglob("result.json")).read_text().splitlines()]
    energies = [line["zeus/energy_j"] for line in lines]
    assert energies == sorted(energies)
    assert energies[3] == pytest.approx(2 * energies[1], rel=0.1)


@pytest.mark.parametrize(
    "again", [zeus.metered(opens_a_session), zeus.metered(zeus.metered(opens_a_session))]
)
def test_a_session_of_a_metered_function_is_refused_with_what_to_leave_out(tmp_path, again):
    (trial,) = search(again, tmp_path).trials
    assert trial.status == "ERROR"
    assert "a session itself needs no zeus_ray.metered" in Path(trial.error_file).read_text()


def test_metered_twice_is_metered_once(tmp_path):
    (trial,) = search(zeus.metered(zeus.metered(boosts)), tmp_path).trials
    assert TrialReport.from_result(trial.last_result).attempt == 1
    assert len(list(tmp_path.rglob("zeus-attempt-*.json"))) == 1


@pytest.mark.parametrize("name", ["registered", None, 7])
def test_what_is_no_trainable_cannot_be_metered(name):
    with pytest.raises(zeus.BadInput, match="a function or a Trainable class"):
        zeus.metered(name)


@pytest.mark.parametrize("reports", [1, 2, 3])
def test_a_trainable_with_very_few_reports_is_measured(tmp_path, reports):
    def short(config):  # noqa: ARG001 — as Tune calls it
        for number in range(reports):
            tune.report({"accuracy": number})

    result = tune.run(
        zeus.metered(short),
        config={"batch_size": 64},
        storage_path=str(tmp_path),
        reuse_actors=True,
        verbose=0,
    )
    (trial,) = result.trials
    report = TrialReport.from_result(trial.last_result)
    assert trial.status == "TERMINATED"
    assert report.epochs == reports
    measured = report.profile or report.profile_so_far
    assert not measured or len(from_json(PowerProfile, measured).points) <= reports
    assert report.energy_j > 0
