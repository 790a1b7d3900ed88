"""Constants and recordings: their values in gaps, before and after; and the texts that name signals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.carbon.constant_and_recorded_signal import ConstantSignal, RecordedSignal
from zeus_ray.carbon.open_signal import open_signal
from zeus_ray.carbon.series import Series
from zeus_ray.errors import BadInput
from zeus_ray.records import GRAMS

TEN = RecordedSignal(Series(0.0, 10.0, np.array([1.0, math.nan, 3.0])))


@pytest.mark.parametrize(
    ("time_s", "value"), [(0, 1), (15, 1), (29.9, 3), (-5, 1), (1e9, 3), (math.nan, math.nan)]
)
def test_a_gap_has_the_value_before_it(time_s, value):
    assert TEN.at(time_s) == pytest.approx(value, nan_ok=True)


def test_history_keeps_its_gaps():
    np.testing.assert_equal(TEN.history(0, 30).values, [1, math.nan, 3])


def test_intervals_after_now_are_a_forecast():
    ahead = TEN.forecast(12.0, 100.0)
    assert (ahead.start_s, len(ahead)) == (10.0, 2)
    assert TEN.forecast(10.0, 15.0).start_s == 10.0
    assert TEN.forecast(30.0, 100.0) is None


def test_a_replay_has_no_forecast():
    assert RecordedSignal(TEN.series, knows_future=False).forecast(0.0, 20.0) is None


def test_a_series_without_values_is_refused():
    with pytest.raises(BadInput, match="none of 2"):
        RecordedSignal(Series(0.0, 1.0, np.array([math.nan, math.nan])))


def test_a_constant():
    signal = open_signal("constant:400")
    assert (signal.at(1e9), signal.unit) == (400.0, GRAMS)
    assert set(signal.history(0, 7200).values) == {400.0}
    ahead = signal.forecast(1800.0, 7200.0)
    assert (ahead.start_s, len(ahead)) == (0.0, 3)


def test_a_price_may_be_negative_and_intensity_may_not():
    assert open_signal("constant:-0.02?unit=EUR/kWh").at(0) == -0.02
    with pytest.raises(BadInput, match="not below 0"):
        ConstantSignal(-1.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "constant:"),
        ("coal", "allowed: constant:"),
        ("constant:", "give a number"),
        ("constant:nan", "finite"),
        ("constant:400?units=g", "'units'.*allowed: unit"),
        ("csv:", "cannot be read"),
        ("csv:no-such-file.csv", "no-such-file.csv"),
    ],
)
def test_a_text_that_names_no_signal_is_refused(text, said):
    with pytest.raises(BadInput, match=said):
        open_signal(text)


def test_a_file_is_opened_with_its_options(tmp_path):
    file = tmp_path / "prices.csv"
    file.write_text(
        "local,night,day\n2026-01-01 00:00,0.1,-0.3\n2026-01-01 01:00,0.2,0.4\n".replace("local", "time")
    )
    signal = open_signal(f"csv:{file}?column=day&timezone=Europe/Berlin&unit=EUR/kWh")
    assert isinstance(signal, RecordedSignal)
    assert signal.unit == "EUR/kWh"
    assert signal.series.start_s == 1767222000.0  # midnight in Berlin is 23:00 UTC
    assert list(signal.series.values) == [-0.3, 0.4]
    with pytest.raises(BadInput, match="below 0"):
        open_signal(f"csv:{file}?column=day&timezone=UTC")


@given(st.text(max_size=30))
def test_any_text_gives_a_signal_or_bad_input(text):
    try:
        signal = open_signal(text)
    except BadInput:
        return
    assert math.isfinite(signal.at(0.0))
