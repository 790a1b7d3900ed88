"""The provider's forecast first, then one from history."""

import numpy as np
from test_baseline_forecasts import days

from zeus_ray.carbon.constant_and_recorded_signal import ConstantSignal, RecordedSignal
from zeus_ray.carbon.forecasts.provider_forecast_or_from_history import forecast_signal, forecast_uncertainty
from zeus_ray.quantity_format import DAY_S, HOUR_S


def test_the_providers_forecast_is_continued_from_history():
    recorded = days(16)
    signal = RecordedSignal(recorded)
    expected = forecast_signal(signal, 15 * DAY_S + 60.0, 48 * HOUR_S)
    assert expected.start_s == 15 * DAY_S
    assert expected.end_s >= 15 * DAY_S + 60.0 + 48 * HOUR_S
    np.testing.assert_allclose(expected.values[:24], recorded.values[-24:])
    assert np.isfinite(expected.values).all()


def test_without_a_providers_forecast_history_alone_is_used():
    recorded = days(16)
    signal = RecordedSignal(recorded, knows_future=False)
    expected = forecast_signal(signal, 15 * DAY_S + 60.0, 24 * HOUR_S)
    assert expected.start_s == 15 * DAY_S
    np.testing.assert_allclose(expected.values[1:24], recorded.values[1:24], atol=10)


def test_without_history_the_value_now_is_expected():
    expected = forecast_signal(ConstantSignal(5.0), 100.0, HOUR_S)
    assert set(expected.values) == {5.0}
    far = forecast_signal(RecordedSignal(days(2)), 400 * DAY_S, 3 * HOUR_S)
    assert set(far.values) == {days(2).values[-1]}


def test_at_the_edge_of_an_interval_nothing_earlier_is_given():
    expected = forecast_signal(RecordedSignal(days(15)), 15 * DAY_S, 48 * HOUR_S)
    assert (expected.start_s, len(expected)) == (15 * DAY_S, 48)


def test_a_providers_forecast_is_taken_as_certain_and_one_from_history_is_not():
    recorded = days(16)
    now_s = 15 * DAY_S
    assert forecast_uncertainty(RecordedSignal(recorded), now_s, DAY_S) is None
    uncertainty = forecast_uncertainty(RecordedSignal(recorded, knows_future=False), now_s, DAY_S)
    assert len(uncertainty.spread) == 24
    far_s = 400 * DAY_S  # no history there
    assert forecast_uncertainty(RecordedSignal(recorded, knows_future=False), far_s, DAY_S) is None
