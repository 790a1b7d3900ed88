"""Simple forecasts, on a series whose future is obvious, and on any other."""

import math

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.carbon.forecasts.baseline_forecasts import (
    BlendedForecast,
    PersistenceForecast,
    SameHourForecast,
    SvrForecast,
)
from zeus_ray.carbon.series import Series
from zeus_ray.quantity_format import DAY_S, HOUR_S, WEEK_S

FORECASTS = [PersistenceForecast(), SameHourForecast(), SameHourForecast(WEEK_S), BlendedForecast()]


def days(count, step_s=HOUR_S):
    """The same day, repeated: a sine of 24 hours around 300."""
    time_s = np.arange(0, count * DAY_S, step_s)
    return Series(0.0, step_s, 300 + 100 * np.sin(2 * np.pi * time_s / DAY_S))


@pytest.mark.parametrize("forecaster", FORECASTS, ids=repr)
@pytest.mark.parametrize("step_s", [300.0, 1800.0, HOUR_S])
def test_it_begins_where_history_ends_and_reaches_the_horizon(forecaster, step_s):
    history = days(15, step_s)
    ahead = forecaster.forecast(history, 36.2 * HOUR_S)
    assert (ahead.start_s, ahead.step_s) == (history.end_s, step_s)
    assert ahead.end_s >= history.end_s + 36.2 * HOUR_S
    assert len(forecaster.forecast(history, 0.0)) == 0


@pytest.mark.parametrize("forecaster", FORECASTS[1:], ids=repr)
def test_a_day_that_repeats_is_forecast_exactly(forecaster):
    history = days(15)
    np.testing.assert_allclose(
        forecaster.forecast(history, 48 * HOUR_S).values, history.values[:48], atol=1e-6
    )


def test_persistence_ignores_a_gap():
    history = Series(0.0, 1.0, np.array([1.0, 2.0, math.nan]))
    assert list(PersistenceForecast().forecast(history, 2.0).values) == [2.0, 2.0]


def test_the_same_hour_of_a_gap_is_that_of_the_day_before():
    values = days(3).values.copy()
    values[50] = math.nan
    assert SameHourForecast().forecast(Series(0.0, HOUR_S, values), 3 * HOUR_S).values[2] == pytest.approx(
        values[26]
    )


def test_the_blend_corrects_last_week_by_a_decaying_error():
    raised = days(15).values.copy()
    raised[-1] += 50.0
    error = BlendedForecast().forecast(Series(0.0, HOUR_S, raised), 24 * HOUR_S).values - days(15).values[:24]
    assert 30.0 < error[0] < 50.0
    assert np.all(np.diff(error) < 0)
    assert error[-1] < 10.0


@given(
    st.sampled_from(FORECASTS),
    st.lists(st.one_of(st.floats(0, 1000), st.just(math.nan)), max_size=60),
    st.floats(0, 100_000),
)
@examples(150)
def test_the_forecast_is_nan_only_if_the_history_has_no_value(forecaster, values, horizon_s):
    ahead = forecaster.forecast(Series(0.0, 1800.0, np.array(values, dtype=float)), horizon_s)
    known = any(math.isfinite(value) for value in values)
    assert np.isfinite(ahead.values).all() if known else np.isnan(ahead.values).all()


def test_the_blend_takes_its_error_from_the_last_known_value():
    late = np.append(days(15).values, [math.nan] * 3)
    late[-4] += 50.0
    error = BlendedForecast().forecast(Series(0.0, HOUR_S, late), HOUR_S).values[0] - days(1).values[3]
    assert error == pytest.approx(50.0 * math.exp(-4 / 12), rel=0.01)


@pytest.mark.frameworks
def test_the_published_forecast_follows_a_smooth_day():
    pytest.importorskip("sklearn")
    history = days(3, 1800.0)
    ahead = SvrForecast().forecast(history, 12 * HOUR_S)
    assert (ahead.start_s, len(ahead)) == (history.end_s, 24)
    assert abs(ahead.values[0] - 300.0) < 30.0
    short = SvrForecast().forecast(Series(0.0, 1800.0, np.array([5.0, math.nan])), HOUR_S)
    assert list(short.values) == [5.0, 5.0]
