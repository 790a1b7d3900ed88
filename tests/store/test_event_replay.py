"""Events told to a search again, and ended runs judged by another target."""

import dataclasses

import pytest

from zeus_ray.records import Knobs, Measurement, Outcome, StopReason, Target
from zeus_ray.search.search import Search
from zeus_ray.store.event_log import LoggedEvent
from zeus_ray.store.event_replay import judged_by, replay
from zeus_ray.store.events import CurvePoint, ProcessInfo, RunAsked, RunEnded, RunLost

TARGET = Target("accuracy", 0.9)
CURVE = tuple(CurvePoint(float(n), n / 10, 100.0 * n, 10.0 * n) for n in range(1, 10))


def ended(run_id="1", batch_size=64, **fields):
    outcome = Outcome(
        knobs=Knobs(run_id=run_id, batch_size=batch_size),
        reached=True,
        epochs=9.0,
        metric=0.9,
        measurement=Measurement(energy_j=900.0, time_s=90.0),
        stop=StopReason.TARGET_REACHED,
        gpu="V100",
    )
    return RunEnded(outcome=dataclasses.replace(outcome, **fields), target=TARGET, curve=CURVE)


def asked(run_id="1", batch_size=64):
    process = ProcessInfo(machine="here", pid=1, started_s=2.0)
    knobs = Knobs(run_id=run_id, batch_size=batch_size)
    return RunAsked(knobs=knobs, process=process, default_batch_size=64)


def search(*events, batch_sizes=(32, 64)):
    made = Search(batch_sizes=batch_sizes, default_batch_size=64, target=TARGET)
    replay(made, [LoggedEvent(number=n, at_s=0.0, event=event) for n, event in enumerate(events, 1)])
    return made


@pytest.mark.parametrize(
    ("value", "outcome", "reached", "epochs", "energy_j"),
    [
        (0.9, {}, True, 9.0, 900.0),  # as it was
        (0.55, {}, True, 6.0, 600.0),  # where the curve crosses
        (0.95, {}, False, 9.0, 900.0),  # it would have needed more
        (0.55, {"reached": False, "stop": StopReason.COST_CAP}, True, 6.0, 600.0),
        (0.55, {"reached": False, "stop": StopReason.OUT_OF_MEMORY}, False, 9.0, 900.0),
        (None, {}, True, 9.0, 900.0),
    ],
)
def test_a_run_counts_for_another_target_by_its_curve(value, outcome, reached, epochs, energy_j):
    judged = judged_by(ended(**outcome), Target("accuracy", value)).outcome
    assert (judged.reached, judged.epochs, judged.measurement.energy_j) == (reached, epochs, energy_j)


def test_a_run_that_reported_another_metric_counts_for_nothing(caplog):
    assert judged_by(ended(), Target("loss", 0.1, mode="min")) is None
    assert "accuracy, not loss" in caplog.text


def test_an_end_counts_also_where_its_ask_is_damaged():
    assert search(asked(), ended()).best() == search(ended()).best()


def test_a_batch_size_that_is_no_longer_offered_is_left_out():
    left_out = search(asked(batch_size=16), ended(batch_size=16)).best()
    assert repr(left_out) == repr(search().best())  # NaN is not equal to itself


def test_a_lost_run_is_not_waited_for():
    for crashed in (True, False):
        lost = RunLost(run_id="1", why="", crashed=crashed)
        assert search(asked(), lost).pending == ()
    assert search(asked()).pending == ("1",)
