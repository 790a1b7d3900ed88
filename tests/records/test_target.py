"""Whether a metric is at its target, and the digits that show it."""

import numpy as np
import pytest

import zeus_ray as zeus
from zeus_ray.records import Measurement, Progress, StopReason, Target
from zeus_ray.search.search import Search

SHARE = float(np.float32(342) / np.float32(360))
"""A share of 95 %, as training code in single precision reports it."""


def test_the_share_is_below_the_target_in_double_precision():
    assert 0.9499999 < SHARE < 0.95


@pytest.mark.parametrize(
    ("metric", "target", "reached"),
    [
        (SHARE, Target("accuracy", 0.95), True),
        (0.95, Target("accuracy", 0.95), True),
        (0.94999, Target("accuracy", 0.95), False),
        (float(np.float32(0.1)), Target("loss", 0.1, "min"), True),
        (0.10001, Target("loss", 0.1, "min"), False),
        (-0.95000001, Target("score", -0.95), True),
        (-0.951, Target("score", -0.95), False),
        (float("nan"), Target("accuracy", 0.95), False),
        (0.9, Target("accuracy"), False),
    ],
)
def test_rounding_in_single_precision_misses_no_target(metric, target, reached):
    assert target.reached(metric) is reached


@pytest.mark.parametrize(
    ("metric", "text"),
    [(0.9527777, "0.9528"), (0.97, "0.9700"), (0.94996, "0.94996"), (0.9499998, "0.9500"), (1234.5, "1234")],
)
def test_the_digits_show_the_side_of_the_target(metric, text):
    assert Target("accuracy", 0.95).text(metric) == text


def test_the_search_ends_a_run_there():
    search = Search(batch_sizes=[32], default_batch_size=32, target=Target("accuracy", 0.95))
    used = Measurement(energy_j=1e3, time_s=10.0)
    progress = Progress(knobs=search.ask(), epoch=3.0, metric=SHARE, measurement=used, gpu="")
    assert search.should_stop(progress) == StopReason.TARGET_REACHED


def test_the_session_ends_there(monkeypatch):
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")
    with zeus.session(batch_size=32, target=Target("accuracy", 0.95)) as run:
        for _batch in run.steps([None] * 10):
            pass
        row = run.report({"accuracy": SHARE})
    assert row["zeus/target_reached"]
    assert run.stop == StopReason.TARGET_REACHED
