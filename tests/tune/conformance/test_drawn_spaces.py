"""Domains anywhere in a space are drawn; batch sizes are taken in any form."""

import math

import numpy as np
import pytest

pytestmark = pytest.mark.ray
tune = pytest.importorskip("ray.tune")

from conformance_jobs import SIZES, sizes_of  # noqa: E402
from test_lengths import search, searcher  # noqa: E402 — after the marker: importing it takes seconds

import zeus_ray as zeus  # noqa: E402


def drawn(result, *path):
    values = []
    for trial in result.trials:
        value = trial.config
        for key in path:
            value = value[key]
        values.append(value)
    return values


OTHERS = {
    "domains in a list": ({"layers": [tune.choice([1, 2]), tune.choice([3, 4])]}, ("layers", 1), {3, 4}),
    "domains in a tuple in a list": ({"n": [{"a": tune.choice([5])}]}, ("n", 0, "a"), {5}),
    "a choice of dictionaries": (
        {"opt": tune.choice([{"name": "sgd", "lr": 1}, {"name": "adam", "lr": 2}])},
        ("opt", "lr"),
        {1, 2},
    ),
    "a domain within a choice": ({"opt": tune.choice([{"lr": tune.choice([7, 8])}])}, ("opt", "lr"), {7, 8}),
    "attributes of spec.config": (
        {"double": tune.sample_from(lambda spec: spec.config.batch_size * 2)},
        ("double",),
        {32, 64, 128, 256},
    ),
    "no argument": ({"five": tune.sample_from(lambda: 5)}, ("five",), {5}),
    "the config itself": (
        {"same": tune.sample_from(lambda config: config["batch_size"])},
        ("same",),
        set(SIZES),
    ),
    "a key with a slash": ({"a/b": tune.choice([1])}, ("a/b",), {1}),
    "quantized": ({"lr": tune.qloguniform(1e-4, 1e-4, 1e-4)}, ("lr",), {1e-4}),
    "eval": ({"three": {"eval": "1 + 2"}}, ("three",), {3}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_domains_anywhere_in_a_space_are_drawn(tmp_path, name):
    space, path, allowed = OTHERS[name]
    result = search(searcher(), tmp_path, config={"batch_size": tune.choice(SIZES), **space}, num_samples=3)
    values = drawn(result, *path)
    assert set(values) <= allowed
    for trial in result.trials:
        if "double" in trial.config:
            assert trial.config["double"] == 2 * trial.config["batch_size"]
        if "same" in trial.config:
            assert trial.config["same"] == trial.config["batch_size"]


CHOICES = {
    "unsorted": [128, 16, 64, 32],
    "one alone": [64],
    "numpy": np.array([16, 32, 64]),
    "a tuple": (32, 64),
    "a range": range(32, 97, 32),
}


@pytest.mark.parametrize("name", CHOICES)
def test_choices_of_batch_sizes_in_any_form(tmp_path, name):
    alg = searcher()
    result = search(alg, tmp_path, config={"batch_size": tune.choice(CHOICES[name])}, num_samples=4)
    assert all(type(size) is int for size in sizes_of(result))
    assert math.isfinite(alg.best().cost.mean)


@pytest.mark.parametrize(
    ("sizes", "words"), [([32, 32, 64], "more than once"), ([16, 32], "64 is not among the batch sizes")]
)
def test_choices_that_cannot_be_meant_are_refused(tmp_path, sizes, words):
    with pytest.raises(zeus.BadInput, match=words):
        search(searcher(), tmp_path, config={"batch_size": tune.choice(sizes)}, num_samples=2)
