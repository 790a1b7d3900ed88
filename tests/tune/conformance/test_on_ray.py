"""One case of each kind on a real Ray: what the driver's process alone cannot show."""

import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import trainables

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
tune = pytest.importorskip("ray.tune")

import zeus_ray as zeus  # noqa: E402
from zeus_ray.records import Target, TrialReport  # noqa: E402

TARGET = Target("accuracy", 0.9)


def search(train, tmp_path, alg, **options):
    options = {"config": {"batch_size": tune.choice([32, 64])}, "num_samples": 1, **options}
    return tune.run(
        train,
        search_alg=alg,
        scheduler=zeus.EnergyScheduler(alg),
        metric="accuracy",
        mode="max",
        resources_per_trial=zeus.resources(),
        storage_path=str(tmp_path),
        verbose=0,
        **options,
    )


def test_one_trial_after_another_experiment_has_an_answer_in_the_folder(tmp_path):
    alg = zeus.ZeusSearcher(target=TARGET, default_batch_size=64)
    first = search(trainables.with_session, tmp_path / "1", alg)
    assert math.isfinite(alg.best().cost.mean)
    second = search(trainables.with_session, tmp_path / "2", alg)
    assert len(second.trials) == 1
    assert zeus.recommended(second) == alg.best()
    (trial,) = first.trials
    assert f"batch_size=64,zeus={trial.config['zeus']}" in Path(trial.path).name


def test_a_metered_class_takes_parameters_of_tune(tmp_path):
    class Model(tune.Trainable):
        def setup(self, config, data=None):
            self.size, self.data = config["batch_size"], data

        def step(self):
            return {"accuracy": trainables.curve(self.iteration + 1, self.size), "data": len(self.data)}

    alg = zeus.ZeusSearcher(target=TARGET, default_batch_size=64)
    result = search(tune.with_parameters(zeus.metered(Model), data=[1, 2, 3]), tmp_path, alg)
    (trial,) = result.trials
    assert trial.last_result["data"] == 3
    assert TrialReport.from_result(trial.last_result).measured_by == "simulated"
    assert trial.last_result["zeus/target_reached"]
