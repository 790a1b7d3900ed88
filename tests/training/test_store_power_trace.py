"""The power of an attempt is stored beside its usage, bounded, at the end of the session."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import NO_GPU, plan, train

from zeus_ray.records import from_json
from zeus_ray.records.stored_power_trace import (
    STORED_EPOCHS,
    STORED_GPUS,
    STORED_POINTS,
    StoredPowerTrace,
    bounded_trace,
)
from zeus_ray.reporting.pictures.power_pictures_of_trial import power_pictures_of_trial
from zeus_ray.store.storage import LocalFolder
from zeus_ray.training.training_run import TrainingRun
from zeus_ray.training.usage_of_earlier_attempts import AttemptLog


def energy_of(points):
    """Of a trace, each point of which is the power since the one before it."""
    begins = [0.0, *(at for at, *_ in points)]
    return math.fsum((at - begin) * power_w for begin, (at, power_w, _) in zip(begins, points, strict=False))


def thinned(points):
    return bounded_trace({"GPU-1": points}, gpu="V100", measured_by="counter", epoch_ends_s=[]).traces[
        "GPU-1"
    ]


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0, 500)), max_size=7), st.integers(1, 300))
def test_the_energy_stays_and_the_number_of_points_is_bounded(steps, times):
    at = 0.0
    points = []
    for passed_s, power_w in steps * times:
        at += passed_s
        points.append((at, power_w, 250.0))
    kept = thinned(points)
    assert len(kept) <= STORED_POINTS
    if points:
        assert kept[-1][0] == points[-1][0]
        assert energy_of(kept) == pytest.approx(energy_of(points), abs=0.05 * at + 1e-6)


def test_a_short_peak_among_long_steps_weighs_as_long_as_it_lasted():
    points = [
        (at, power_w, 250.0)
        for n in range(500)
        for at, power_w in ((10 * n + 1, 250.0), (10 * n + 10, 100.0))
    ]
    assert energy_of(thinned(points)) == pytest.approx(500 * (250 + 9 * 100), rel=1e-3)


def test_of_many_gpus_and_epochs_some_are_kept():
    trace = bounded_trace(
        {f"GPU-{n}": [(0.0, 1.0, 2.0)] for n in range(16)},
        gpu="V100",
        measured_by="counter",
        epoch_ends_s=[float(n) for n in range(1, 1001)],
    )
    assert (len(trace.traces), trace.gpus) == (STORED_GPUS, 16)
    assert len(trace.epoch_ends_s) <= STORED_EPOCHS
    assert len(json.dumps([[0.1, 250.0, 250.0]] * STORED_POINTS)) * STORED_GPUS < 32_000  # bytes of a file


def test_the_file_of_an_attempt_is_drawn(group, tmp_path):
    folder = LocalFolder(tmp_path / "trial")
    assert power_pictures_of_trial(folder, "nothing") == []
    run = TrainingRun(plan(), group, attempts=AttemptLog.open(folder))
    run.begin()
    train(run, 2)
    run.report({})
    run.store_power_trace()
    stored = from_json(StoredPowerTrace, folder.read("zeus-power-1.json"))
    assert len(stored.epoch_ends_s) == 2
    assert stored.measured_by == "simulated"
    (picture,) = power_pictures_of_trial(folder, "batch size 100 at 250 W")
    assert picture.title == "Power over time: batch size 100 at 250 W"
    assert picture.simulated
    again = TrainingRun(plan(), group, attempts=AttemptLog.open(folder))
    again.store_power_trace()
    assert power_pictures_of_trial(folder, "it")[0].title == "Power over time: it, attempt 2"


def test_without_a_gpu_or_a_trial_nothing_is_stored(group, tmp_path):
    folder = LocalFolder(tmp_path / "trial")
    TrainingRun(plan(), NO_GPU, attempts=AttemptLog.open(folder)).store_power_trace()
    assert folder.names() == []
    TrainingRun(plan(), group).store_power_trace()


def test_a_storage_that_refuses_ends_no_training(group, tmp_path):
    (tmp_path / "trial").mkdir()
    folder = LocalFolder(tmp_path / "trial")
    run = TrainingRun(plan(), group, attempts=AttemptLog.open(folder))
    (tmp_path / "trial").rmdir()
    (tmp_path / "trial").touch()  # no folder any more
    run.store_power_trace()
