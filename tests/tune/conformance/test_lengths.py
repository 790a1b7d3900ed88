"""However few trials or seconds an experiment has, it ends with an answer."""

import math

import pytest

pytestmark = pytest.mark.ray
tune = pytest.importorskip("ray.tune")

from conformance_jobs import SIZES, TARGET, Job  # noqa: E402
from in_process import run  # noqa: E402 — after the marker: importing it takes seconds

import zeus_ray as zeus  # noqa: E402
from zeus_ray.records import Target  # noqa: E402


def searcher(**options):
    return zeus.ZeusSearcher(**{"target": TARGET, "default_batch_size": 64, **options})


def search(alg, tmp_path, *, train=Job, scheduler=True, config=None, **options):
    space = {"batch_size": tune.choice(SIZES)} if config is None else config
    return run(
        train,
        tmp_path,
        search_alg=alg,
        scheduler=zeus.EnergyScheduler(alg) if scheduler is True else scheduler or None,
        config=space,
        **options,
    )


@pytest.mark.parametrize("policy", ["zeus-ray", "nsdi23"])
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("num_samples", [1, 2, 3, 4, 5])
def test_a_few_trials_end_with_an_answer(tmp_path, num_samples, width, policy):
    alg = searcher(policy=policy)
    result = search(alg, tmp_path, num_samples=num_samples, max_concurrent_trials=width)
    assert len(result.trials) <= num_samples
    assert any(trial.last_result["zeus/target_reached"] for trial in result.trials)
    assert math.isfinite(alg.best().cost.mean)


@pytest.mark.parametrize(
    "options", [{"target": Target("accuracy")}, {"baseline": True}, {"batch_sizes": SIZES}]
)
def test_one_trial_ends_with_an_answer_however_the_search_is_set_up(tmp_path, options):
    alg = searcher(max_epochs=30, **options)
    config = {} if "batch_sizes" in options else None  # then Tune does not hand its settings to the searcher
    result = search(alg, tmp_path, num_samples=1, config=config)
    assert len(result.trials) == 1
    assert math.isfinite(alg.best().cost.mean)
