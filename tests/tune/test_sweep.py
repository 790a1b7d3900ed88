"""Real searches on a fast clock: trials pause and resume with carbon intensity, and end in time."""

import gc
import itertools
import math
import os
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
from zeus_ray.carbon.series import Series  # noqa: E402
from zeus_ray.quantity_format import HOUR_S, J_PER_KWH  # noqa: E402

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import the tests

START_S = 1_640_995_200.0  # 2022
RATE = 1200.0
"""Three seconds are an hour on the grid."""
CLEAN, DIRTY = 100.0, 200.0
STEP_S = HOUR_S / 3
INTENSITY = [CLEAN, CLEAN, CLEAN, DIRTY] * 36


class Model(tune.Trainable):
    """Trains for 1.6 s, half an hour on the grid, and can be paused."""

    step_s = 0.16

    def setup(self, config):  # noqa: ARG002 — Tune's
        self.done = 0

    def reset_config(self, config):
        self.setup(config)
        return True

    def step(self):
        time.sleep(self.step_s)  # this is the training
        self.done += 1
        return {"accuracy": self.done / 10, "done": self.done >= 10}

    def save_checkpoint(self, folder):
        Path(folder, "done").write_text(str(self.done))

    def load_checkpoint(self, folder):
        self.done = int(Path(folder, "done").read_text())


class LongModel(Model):
    """Trains for longer than the rest of a clean hour."""

    step_s = 0.46


class WaitsForAnother(Model):
    """Its setup ends when that of another trial has begun."""

    step_s = 0.01

    def setup(self, config):
        super().setup(config)
        met, until_s = Path(config["met"]), time.monotonic() + 30
        (met / str(os.getpid())).touch()
        while len(list(met.iterdir())) < 2:
            assert time.monotonic() < until_s, "no other trial is being set up"
            time.sleep(0.01)


def function_that_checkpoints(config):
    checkpoint = tune.get_checkpoint()
    done = int(Path(checkpoint.path, "done").read_text()) if checkpoint else 0
    entered_s = time.time()
    with zeus.session(config, power_limits_w=()) as run:
        before_s = time.time()
        began_j = run.measure({})["zeus/energy_j"]
        began = {"entered_s": entered_s, "began_s": (before_s, time.time()), "began_j": began_j}
        while done < 10:
            time.sleep(0.32)  # this is the training
            done += 1
            before_s = time.time()
            row = run.measure({"accuracy": done / 10, **began})
            row["at_s"] = before_s, time.time()  # the GPU was read between the two
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, "done").write_text(str(done))
                run.send(row, checkpoint=tune.Checkpoint.from_directory(folder))


def function_without_checkpoints(config):  # noqa: ARG001 — Tune's
    for done in range(1, 11):
        time.sleep(0.16)
        tune.report({"accuracy": done / 10})


@pytest.fixture
def grid(tmp_path):
    path = tmp_path / "grid.csv"
    rows = [f"{START_S + i * STEP_S:.0f},{value}" for i, value in enumerate(INTENSITY)]
    path.write_text("\n".join(["timestamp,carbon_intensity", *rows]))
    return f"csv:{path}"


def elastic_on(grid, *, now_h=0.0, rate=RATE, **options):
    """An ``Elastic`` whose clock starts now and runs fast."""
    options = {"deadline": START_S + 40 * HOUR_S, "hours_per_trial": 0.75, "replan_every_s": 120.0, **options}
    return zeus.Elastic(grid, clock=(time.time(), START_S + now_h * HOUR_S, rate), **options)


def run(train, tmp_path, elastic, *, num_samples=4, more=(), **options):
    return tune.run(
        train,
        config={"batch_size": 64, **dict(more)},
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


class ReadsFolders(tune.Callback):
    """Reads the folder of each trial, waiting or not, as Tune's own table does."""

    def on_step_end(self, iteration, trials, **_info):  # noqa: ARG002 — Tune's
        assert all(trial.error_file is None for trial in trials)


class Log(tune.Callback):
    """Every result that the driver received. (Tune's own file may lose rows of a trial that was paused.)"""

    def __init__(self):
        self.rows = {}

    def on_trial_result(self, iteration, trials, trial, result, **_info):  # noqa: ARG002 — Tune's
        self.rows.setdefault(trial.trial_id, []).append(dict(result))


def emissions_by_the_log(rows, elastic):
    """∫ intensity · power dt from the rows' own times and joules: a lower and an upper bound.

    The GPU is read between two times, which are milliseconds apart unless the machine is busy.
    """
    bounds, before_j, before_s, attempt = [], 0.0, (), 0
    for row in rows:
        if row["zeus/attempt"] != attempt:  # drawn at any time since the last row
            since_s = before_s[0] if attempt else row["entered_s"]
            bounds.append((row["began_j"] - before_j, between(elastic, since_s, row["began_s"][1])))
            attempt, before_s, before_j = row["zeus/attempt"], row["began_s"], row["began_j"]
        bounds.append((row["zeus/energy_j"] - before_j, means(elastic, before_s, row["at_s"])))
        before_j, before_s = row["zeus/energy_j"], row["at_s"]
    return [math.fsum(joules / J_PER_KWH * pick(values) for joules, values in bounds) for pick in (min, max)]


def means(elastic, from_s, to_s):
    """Mean intensities from each of two times to each of two others."""
    truth = Series(START_S, STEP_S, np.array(INTENSITY))
    ends = itertools.product(*([elastic.emissions.grid_s(s) for s in times] for times in (from_s, to_s)))
    return [truth.integral(a_s, b_s) / (b_s - a_s) for a_s, b_s in ends]


def between(elastic, from_s, to_s):
    """All intensities between two times."""
    first, last = (int((elastic.emissions.grid_s(s) - START_S) // STEP_S) for s in (from_s, to_s))
    return INTENSITY[first : last + 1]


def assert_it_waited(elastic, result):
    """Assert that it ran in clean hours only, in several pieces, and has ended in time."""
    assert elastic.now_s() < elastic.planner.rules.deadline_s
    assert {t.status for t in result.trials} == {"TERMINATED"}
    assert max(t.last_result["zeus/attempt"] for t in result.trials) > 1  # paused, and resumed
    assert max(step.running for step in elastic.planner.steps) <= 2
    dirty = [step for step in elastic.planner.steps if step.value == DIRTY]
    assert dirty
    assert all(step.planned == 0 for step in dirty)
    assert max(step.planned for step in elastic.planner.steps) == 2


def test_a_search_waits_for_clean_hours_and_reports_the_emissions_of_its_log(tmp_path, grid):
    elastic = elastic_on(grid, max_trials=2, rate=RATE / 2)  # a function has a new process each time
    log = Log()
    result = run(function_that_checkpoints, tmp_path, elastic, callbacks=[log])
    assert_it_waited(elastic, result)
    assert [t.last_result["accuracy"] for t in result.trials] == [1.0] * 4
    logged = math.fsum(t.last_result["zeus/carbon_g"] for t in result.trials)
    assert len(log.rows) == 4
    bounds = [emissions_by_the_log(rows, elastic) for rows in log.rows.values()]
    least, most = map(math.fsum, zip(*bounds, strict=True))
    assert least * (1 - 5e-3) <= logged <= most * (1 + 5e-3)


def test_trials_that_cannot_checkpoint_are_not_paused_and_wait_to_start(tmp_path, grid, monkeypatch):
    monkeypatch.setenv("TUNE_MAX_PENDING_TRIALS_PG", "1")  # as with many: Tune creates them one by one
    elastic = elastic_on(grid, now_h=0.5, max_trials=2)
    table = {"callbacks": [ReadsFolders()]}
    result = run(zeus.metered(function_without_checkpoints), tmp_path, elastic, num_samples=3, **table)
    assert [t.status for t in result.trials] == ["TERMINATED"] * 3
    assert {t.last_result["zeus/attempt"] for t in result.trials} == {1}
    assert {t.last_result["training_iteration"] for t in result.trials} == {10}
    assert elastic.now_s() < elastic.planner.rules.deadline_s


@pytest.mark.parametrize("made", ["1", "auto"])  # created one by one as needed, or all at once
def test_trials_start_at_the_same_time(tmp_path, monkeypatch, made):
    monkeypatch.setenv("TUNE_MAX_PENDING_TRIALS_PG", made)
    met = tmp_path / "met"
    met.mkdir()
    elastic = elastic_on("constant:100", max_trials=2, rate=1.0)  # all of it within one hour of the grid
    result = run(WaitsForAnother, tmp_path, elastic, num_samples=2, more={"met": str(met)})
    assert [t.status for t in result.trials] == ["TERMINATED"] * 2


def test_with_zeus_searcher_under_a_concurrency_limiter(tmp_path, grid):
    elastic = elastic_on(grid, now_h=1.0, max_trials=3)
    plain = {"policy": "nsdi23"}  # with which both train to the end
    searcher = zeus.ZeusSearcher(
        zeus.Target("accuracy", 2.0), default_batch_size=64, batch_sizes=[32, 64], **plain
    )
    result = tune.run(
        zeus.metered(LongModel),
        search_alg=ConcurrencyLimiter(searcher, max_concurrent=2),
        num_samples=2,
        scheduler=zeus.EnergyScheduler(searcher, carbon=elastic),
        resources_per_trial=zeus.resources(),
        storage_path=str(tmp_path / "results"),
        reuse_actors=True,
        verbose=0,
    )
    assert_it_waited(elastic, result)
    assert {t.last_result["accuracy"] for t in result.trials} == {1.0}
    assert all(t.last_result["zeus/carbon_g"] > 0 for t in result.trials)


@pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning"
)  # Tune's logs of trials that it stops at once
def test_a_spent_budget_ends_the_search(tmp_path, grid):
    elastic = elastic_on(grid, max_trials=1, budget_g=0.01)
    result = run(zeus.metered(Model), tmp_path, elastic, num_samples=20)
    spent = math.fsum((t.last_result or {}).get("zeus/carbon_g", 0.0) for t in result.trials)
    assert 0.01 <= spent < 0.02
    assert len([t for t in result.trials if "zeus/carbon_g" in (t.last_result or {})]) < 20
    assert elastic.planner.schedules[-1].reason == "budget spent"
    del result
    gc.collect()
