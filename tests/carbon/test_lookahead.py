"""The provider's forecast first, then ours, and never nothing."""

import numpy as np
from test_baseline_forecasts import DAY_S, HOUR_S, days

from zeus_ray.carbon.forecasts.lookahead import look_ahead
from zeus_ray.carbon.signal import ConstantSignal, RecordedSignal


def test_the_provider_comes_first_and_ours_goes_on():
    recorded = days(16)
    signal = RecordedSignal(recorded)
    ahead = look_ahead(signal, 15 * DAY_S + 60.0, 48 * HOUR_S)
    assert ahead.start_s == 15 * DAY_S
    assert ahead.end_s >= 15 * DAY_S + 60.0 + 48 * HOUR_S
    np.testing.assert_allclose(ahead.values[:24], recorded.values[-24:])
    assert np.isfinite(ahead.values).all()


def test_without_a_provider_ours_alone():
    recorded = days(16)
    signal = RecordedSignal(recorded, knows_future=False)
    ahead = look_ahead(signal, 15 * DAY_S + 60.0, 24 * HOUR_S)
    assert ahead.start_s == 15 * DAY_S
    np.testing.assert_allclose(ahead.values[1:24], recorded.values[1:24], atol=10)


def test_without_history_the_value_now():
    ahead = look_ahead(ConstantSignal(5.0), 100.0, HOUR_S)
    assert set(ahead.values) == {5.0}
    far = look_ahead(RecordedSignal(days(2)), 400 * DAY_S, 3 * HOUR_S)
    assert set(far.values) == {days(2).values[-1]}


def test_at_the_edge_of_an_interval_the_past_is_not_shown():
    ahead = look_ahead(RecordedSignal(days(15)), 15 * DAY_S, 48 * HOUR_S)
    assert (ahead.start_s, len(ahead)) == (15 * DAY_S, 48)
