"""Real searches on a fast clock: they pause and resume as the grid goes, and end in time."""

import gc
import json
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]
tune = pytest.importorskip("ray.tune")

from ray import cloudpickle  # noqa: E402
from ray.tune.search import ConcurrencyLimiter  # noqa: E402 — after the marker: importing it takes seconds

import zeus_ray as zeus  # noqa: E402
from zeus_ray.carbon.series import J_PER_KWH, Series  # noqa: E402

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import the tests

HOUR_S = 3600.0
BEGAN_S = 1_640_995_200.0  # 2022
RATE = 600.0
"""Six seconds are an hour on the grid."""
CLEAN, DIRTY = 100.0, 200.0
INTENSITY = [CLEAN, DIRTY] * 24


class Model(tune.Trainable):
    """Trains for a second and a half, a quarter of an hour on the grid, and can be paused."""

    def setup(self, config):  # noqa: ARG002 — Tune's
        self.done = 0

    def reset_config(self, config):
        self.setup(config)
        return True

    def step(self):
        time.sleep(0.15)  # this is the training
        self.done += 1
        return {"accuracy": self.done / 10, "done": self.done >= 10}

    def save_checkpoint(self, folder):
        Path(folder, "done").write_text(str(self.done))

    def load_checkpoint(self, folder):
        self.done = int(Path(folder, "done").read_text())


def function_that_checkpoints(config):
    checkpoint = tune.get_checkpoint()
    done = int(Path(checkpoint.path, "done").read_text()) if checkpoint else 0
    with zeus.session(config, power_limits_w=()) as run:
        began_s = time.time()
        while done < 10:
            time.sleep(0.15)  # this is the training
            done += 1
            before_s = time.time()
            row = run.measure({"accuracy": done / 10, "began_s": began_s})
            row["at_s"] = (before_s + time.time()) / 2  # its board was read between the two
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, "done").write_text(str(done))
                run.send(row, checkpoint=tune.Checkpoint.from_directory(folder))


def function_that_cannot_go_on(config):  # noqa: ARG001 — Tune's
    for done in range(1, 11):
        time.sleep(0.15)
        tune.report({"accuracy": done / 10})


@pytest.fixture
def grid(tmp_path):
    path = tmp_path / "grid.csv"
    rows = [f"{BEGAN_S + i * HOUR_S:.0f},{value}" for i, value in enumerate(INTENSITY)]
    path.write_text("\n".join(["timestamp,carbon_intensity", *rows]))
    return f"csv:{path}"


def elastic_on(grid, *, now_h=0.0, **options):
    """A grid's time that begins now, and goes fast."""
    options = {"deadline": BEGAN_S + 40 * HOUR_S, "hours_per_trial": 0.5, "look_every_s": 120.0, **options}
    return zeus.Elastic(grid, clock=(time.time(), BEGAN_S + now_h * HOUR_S, RATE), **options)


def run(train, tmp_path, elastic, *, num_samples=8, **options):
    return tune.run(
        train,
        config={"batch_size": 64},
        metric="accuracy",
        mode="max",
        num_samples=num_samples,
        scheduler=zeus.EnergyScheduler(carbon=elastic),
        resources_per_trial=zeus.resources(),
        storage_path=str(tmp_path / "results"),
        reuse_actors=True,
        verbose=0,
        **options,
    )


def rows_of(trial):
    lines = Path(trial.local_path, "result.json").read_text().splitlines()
    return [json.loads(line) for line in lines]


def grams_by_the_log(trial, elastic):
    """∫ intensity · power dt from nothing but the rows' own times and joules."""
    truth = Series(BEGAN_S, HOUR_S, np.array(INTENSITY))
    grams, before_j, before_s, attempt = 0.0, 0.0, math.nan, 0
    for row in rows_of(trial):
        if row["zeus/attempt"] != attempt:
            attempt, before_s = row["zeus/attempt"], row["began_s"]
        from_s, to_s = (elastic.footprint.grid_s(s) for s in (before_s, row["at_s"]))
        mean = truth.integral(from_s, to_s) / (to_s - from_s)
        grams += (row["zeus/energy_j"] - before_j) / J_PER_KWH * mean
        before_j, before_s = row["zeus/energy_j"], row["at_s"]
    return grams


@pytest.mark.parametrize("train", [zeus.metered(Model), function_that_checkpoints], ids=["class", "function"])
def test_a_search_waits_for_clean_hours_and_ends_in_time(tmp_path, grid, train):
    elastic = elastic_on(grid, max_trials=2)
    result = run(train, tmp_path, elastic)
    assert elastic.now_s() < elastic.rules.deadline_s
    assert [t.status for t in result.trials] == ["TERMINATED"] * 8
    assert {t.last_result["accuracy"] for t in result.trials} == {1.0}
    attempts = [t.last_result["zeus/attempt"] for t in result.trials]
    assert max(attempts) > 1  # paused, and resumed: one clean hour is too short for all
    assert max(look.running for look in elastic.looks) <= 2
    dirty = [look for look in elastic.looks if look.value == DIRTY]
    assert dirty
    assert all(look.planned == 0 for look in dirty)
    assert max(look.planned for look in elastic.looks) == 2
    logged = math.fsum(t.last_result["zeus/carbon_g"] for t in result.trials)
    assert logged > 0
    if train is function_that_checkpoints:  # it says to milliseconds when its board was read
        assert logged == pytest.approx(
            math.fsum(grams_by_the_log(t, elastic) for t in result.trials), rel=5e-3
        )


def test_what_cannot_checkpoint_is_not_paused_but_not_started_either(tmp_path, grid):
    elastic = elastic_on(grid, now_h=0.5, max_trials=2)
    result = run(zeus.metered(function_that_cannot_go_on), tmp_path, elastic, num_samples=3)
    assert [t.status for t in result.trials] == ["TERMINATED"] * 3
    assert {t.last_result["zeus/attempt"] for t in result.trials} == {1}
    assert {t.last_result["training_iteration"] for t in result.trials} == {10}
    assert elastic.now_s() < elastic.rules.deadline_s


def test_under_a_concurrency_limiter_and_with_our_searcher(tmp_path, grid):
    elastic = elastic_on(grid, now_h=0.5, max_trials=3)
    searcher = zeus.ZeusSearcher(zeus.Target("accuracy", 2.0), default_batch_size=64, batch_sizes=[32, 64])
    result = tune.run(
        zeus.metered(Model),
        search_alg=ConcurrencyLimiter(searcher, max_concurrent=2),
        num_samples=3,
        scheduler=zeus.EnergyScheduler(searcher, carbon=elastic),
        resources_per_trial=zeus.resources(),
        storage_path=str(tmp_path / "results"),
        reuse_actors=True,
        verbose=0,
    )
    assert all(t.status == "TERMINATED" for t in result.trials)
    assert all(t.last_result["zeus/carbon_g"] > 0 for t in result.trials)
    assert max(look.running for look in elastic.looks) <= 2
    assert elastic.now_s() < elastic.rules.deadline_s


@pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning"
)  # Tune's logs of trials that it stops all at once
def test_a_spent_budget_ends_the_search(tmp_path, grid):
    elastic = elastic_on(grid, max_trials=1, budget_g=0.01)
    result = run(zeus.metered(Model), tmp_path, elastic, num_samples=20)
    spent = math.fsum((t.last_result or {}).get("zeus/carbon_g", 0.0) for t in result.trials)
    assert 0.01 <= spent < 0.02
    assert len([t for t in result.trials if "zeus/carbon_g" in (t.last_result or {})]) < 20
    assert elastic.schedules[-1].why == "budget spent"
    del result
    gc.collect()
