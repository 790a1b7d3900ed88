"""What trials report: metrics of every kind and name, with and without a session."""

import csv
import json
import math
import struct
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

pytestmark = pytest.mark.ray
tune = pytest.importorskip("ray.tune")

from conformance_jobs import SIZES, Job, Unmetered, accuracy, epochs_to_target  # noqa: E402 — after the marker
from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule  # noqa: E402
from test_lengths import search, searcher  # noqa: E402

from zeus_ray.records import StopReason, Target  # noqa: E402


def between(value, size, epoch):
    """Every second epoch something that is no number; in the end the true accuracy."""
    return value if epoch % 2 else accuracy(epoch, size)


class Reports(Job):
    VALUE = None

    def metric(self):
        return {"accuracy": between(self.VALUE, self.size, self.epoch)}


BASES = {
    "none": lambda: None,
    "asha": lambda: ASHAScheduler(max_t=60, grace_period=20),
    "median": lambda: MedianStoppingRule(grace_period=20, min_samples_required=3),
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(
    "value", [math.inf, -math.inf, math.nan, None, "high", True, [0.99], np.float32("inf")]
)
def test_what_is_no_number_reaches_no_target_and_ends_no_trial(tmp_path, value, base):
    import zeus_ray as zeus

    alg = searcher()
    result = search(
        alg,
        tmp_path,
        train=type("Reports", (Reports,), {"VALUE": value}),
        scheduler=zeus.EnergyScheduler(alg, base=BASES[base]()),
        num_samples=4,
        metric="accuracy",
        mode="max",
    )
    assert not [trial for trial in result.trials if trial.status == "ERROR"]
    reached = [trial.last_result for trial in result.trials if trial.last_result["zeus/target_reached"]]
    assert reached
    for row in reached:
        assert row["zeus/epochs"] >= epochs_to_target(row["zeus/batch_size"])
    assert alg.best().energy_j.mean > 0


class Nested(Job):
    def metric(self):
        return {"eval": {"top": {"accuracy": np.float32(accuracy(self.epoch, self.size))}}}


def test_a_nested_metric_is_one_metric_for_all(tmp_path):
    alg = searcher(target=Target("eval/top/accuracy", 0.9))
    result = search(alg, tmp_path, train=Nested, num_samples=4)
    assert any(t.last_result["zeus/stop_reason"] == "target reached" for t in result.trials)
    assert math.isfinite(alg.best().cost.mean)


@pytest.mark.parametrize("scheduler", [True, False])
def test_a_function_without_a_session_is_searched_by_time_and_said_once(tmp_path, caplog, scheduler):
    alg = searcher(seed=1)
    result = search(alg, tmp_path, train=Unmetered, num_samples=6, scheduler=scheduler)
    assert caplog.text.count("zeus_ray.session(config) as run") == 1
    assert "run.report" in caplog.text
    assert "zeus_ray.metered" in caplog.text
    assert math.isfinite(alg.best().time_s.mean)
    assert alg.best().batch_size in SIZES
    if scheduler:  # which stops at the target
        assert all(t.last_result["training_iteration"] < Job.EPOCHS for t in result.trials)


def test_one_trial_without_a_session_whose_metric_is_reached_counts_as_reached(tmp_path):
    alg = searcher(target=Target("loss", 0.2, mode="min"))
    train = type("Loss", (Unmetered,), {"metric": lambda self: {"loss": 1 - accuracy(self.epoch, self.size)}})
    search(alg, tmp_path, train=train, num_samples=1)
    assert alg.best().batch_size == 64
    assert math.isfinite(alg.best().cost.mean)


def texts_in_tensorboard(folder):
    """The texts of an event file by their tag: records of length, checksum, content, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    (path,) = Path(folder).glob("events.out.tfevents.*")
    content, texts = path.read_bytes(), {}
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event, content = Event.FromString(content[12 : 12 + length]), content[16 + length :]
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "text":
                texts[value.tag.removesuffix("/text_summary")] = value.tensor.string_val[0].decode()
    return texts


def test_a_stop_reason_is_in_the_loggers_files_too(tmp_path):
    from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback, TBXLoggerCallback

    alg = searcher()
    loggers = [CSVLoggerCallback(), JsonLoggerCallback(), TBXLoggerCallback()]
    result = search(alg, tmp_path, num_samples=6, callbacks=loggers)
    seen = set()
    for trial in result.trials:
        *_, csv_row = csv.DictReader(Path(trial.path, "progress.csv").read_text().splitlines())
        json_row = json.loads(Path(trial.path, "result.json").read_text().splitlines()[-1])
        reason = trial.last_result["zeus/stop_reason"]
        assert csv_row["zeus/stop_reason"] == json_row["zeus/stop_reason"] == reason
        assert texts_in_tensorboard(trial.path)["ray/tune/zeus/stop_reason"] == reason
        seen.add(reason)
    assert StopReason.TARGET_REACHED in seen
    assert seen & {StopReason.NOT_WORTH_IT, StopReason.COST_CAP}


def test_a_stop_reason_is_there_for_a_callback_of_the_users_own(tmp_path):
    from ray.tune.logger import LoggerCallback

    class Kept(LoggerCallback):
        last: ClassVar[dict] = {}

        def log_trial_result(self, iteration, trial, result):  # noqa: ARG002 — as Tune calls it
            self.last[trial.trial_id] = dict(result)

    result = search(searcher(), tmp_path, num_samples=6, callbacks=[Kept()])
    reasons = {trial.trial_id: trial.last_result["zeus/stop_reason"] for trial in result.trials}
    assert {trial_id: row["zeus/stop_reason"] for trial_id, row in Kept.last.items()} == reasons
    assert all(reasons.values())


def test_a_trial_that_tune_ends_by_its_own_rule_has_no_reason_of_ours(tmp_path):
    result = search(searcher(), tmp_path, num_samples=3, stop={"training_iteration": 1})
    assert all(trial.last_result["training_iteration"] == 1 for trial in result.trials)
    assert {trial.last_result["zeus/stop_reason"] for trial in result.trials} <= {"", "target reached"}
