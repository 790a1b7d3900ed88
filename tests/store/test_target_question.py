"""A target that cannot be meant is asked about, once, after the first reports."""

import logging

import pytest

from zeus_ray.records import Knobs, Target
from zeus_ray.search.search import Search
from zeus_ray.store.event_log import EventLog
from zeus_ray.store.implausible_target import target_question
from zeus_ray.store.outcome_from_reports import ActiveRun
from zeus_ray.store.search_recorder import SearchRecorder

ACCURACY = [0.1, 0.3, 0.45]


@pytest.mark.parametrize(
    ("target", "metrics", "asked"),
    [
        (Target("accuracy", 95), ACCURACY, "Is it a fraction, and the target 0.95?"),
        (Target("accuracy", 95), ACCURACY[:2], ""),
        (Target("accuracy", 0.95), [37.2], "in per cent, and the target 95?"),
        (
            Target("accuracy", 0.05, "min"),
            ACCURACY,
            "rises, from 0.1 to 0.45, but mode='min' waits for it to fall",
        ),
        (Target("eval/top1_acc", 0.9, "min"), [0.3], "Is mode='max' meant?"),
        (Target("loss", 0.1), [2.3, 1.8, 1.2], "has reached the target of 0.1 with mode='max'"),
        (Target("distance", 3.0), [2.3, 1.8, 1.2], "falls, from 2.3 to 1.2, but mode='max'"),
        (Target("distance", None, "min"), [1, 2, 3], "waits for it to fall. Is mode='max' meant?"),
    ],
)
def test_what_is_asked(target, metrics, asked):
    question = target_question(target, metrics)
    assert asked in question
    assert bool(question) is bool(asked)


@pytest.mark.parametrize(
    ("target", "metrics"),
    [
        (Target("accuracy", 0.95), ACCURACY),
        (Target("accuracy", 0.95), [0.96]),
        (Target("accuracy", 0.95), [float("nan")] * 4),
        (Target("loss", 2.0, "min"), [1.9]),  # a low target, and a good first epoch
        (Target("loss", 0.1, "min"), [2.3, 2.4, 1.2]),
        (Target("BLEU", 30.0), [2.0, 9.0, 14.0]),
        (Target("reward", 200.0), [0.2, 0.3, 0.4]),
        (Target("accuracy"), ACCURACY),
    ],
)
def test_what_may_be_meant_is_not_asked_about(target, metrics):
    assert target_question(target, metrics) == ""


def test_it_is_asked_once_in_a_search(tmp_path, caplog):
    search = Search(batch_sizes=[32], default_batch_size=32, target=Target("accuracy", 95))
    recorder = SearchRecorder(search, EventLog.open(tmp_path))
    with caplog.at_level(logging.WARNING):
        for run_id in ("1", "2"):
            run = ActiveRun(Knobs(run_id=run_id, batch_size=32))
            for i, accuracy in enumerate([0.1, 0.2, 0.3, 0.4, 0.5]):
                result = {"accuracy": accuracy, "training_iteration": i + 1, "time_total_s": 1.0}
                recorder.observe(run, result)
    assert [record.message.count("the target 0.95?") for record in caplog.records] == [1]
