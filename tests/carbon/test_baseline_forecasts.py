"""Ways to look ahead: what each says on a series anybody can check, and that none ever says nothing."""

import math

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.carbon.forecasts.baseline_forecasts import (
    DAY_S,
    WEEK_S,
    BlendedForecast,
    PersistenceForecast,
    SameHourForecast,
    SvrForecast,
)
from zeus_ray.carbon.series import Series

HOUR_S = 3600.0
WAYS = [PersistenceForecast(), SameHourForecast(), SameHourForecast(WEEK_S), BlendedForecast()]


def days(count, step_s=HOUR_S):
    """The same day again and again: a sine of 24 hours around 300."""
    time_s = np.arange(0, count * DAY_S, step_s)
    return Series(0.0, step_s, 300 + 100 * np.sin(2 * np.pi * time_s / DAY_S))


@pytest.mark.parametrize("way", WAYS, ids=repr)
@pytest.mark.parametrize("step_s", [300.0, 1800.0, HOUR_S])
def test_it_begins_where_history_ends_and_reaches_the_horizon(way, step_s):
    history = days(15, step_s)
    ahead = way.forecast(history, 36.2 * HOUR_S)
    assert (ahead.start_s, ahead.step_s) == (history.end_s, step_s)
    assert ahead.end_s >= history.end_s + 36.2 * HOUR_S
    assert len(way.forecast(history, 0.0)) == 0


@pytest.mark.parametrize("way", WAYS[1:], ids=repr)
def test_a_day_that_repeats_is_foreseen(way):
    history = days(15)
    np.testing.assert_allclose(way.forecast(history, 48 * HOUR_S).values, history.values[:48], atol=1e-6)


def test_persistence_passes_over_a_gap():
    history = Series(0.0, 1.0, np.array([1.0, 2.0, math.nan]))
    assert list(PersistenceForecast().forecast(history, 2.0).values) == [2.0, 2.0]


def test_the_same_hour_where_that_is_a_gap_is_the_day_before():
    values = days(3).values.copy()
    values[50] = math.nan
    assert SameHourForecast().forecast(Series(0.0, HOUR_S, values), 3 * HOUR_S).values[2] == pytest.approx(
        values[26]
    )


def test_the_blend_corrects_last_week_by_the_latest_error():
    raised = days(15).values.copy()
    raised[-1] += 50.0
    error = BlendedForecast().forecast(Series(0.0, HOUR_S, raised), 24 * HOUR_S).values - days(15).values[:24]
    assert 30.0 < error[0] < 50.0
    assert np.all(np.diff(error) < 0)
    assert error[-1] < 10.0


@given(
    st.sampled_from(WAYS),
    st.lists(st.one_of(st.floats(0, 1000), st.just(math.nan)), max_size=60),
    st.floats(0, 100_000),
)
@examples(150)
def test_something_is_said_whenever_something_is_known(way, values, horizon_s):
    ahead = way.forecast(Series(0.0, 1800.0, np.array(values, dtype=float)), horizon_s)
    known = any(math.isfinite(value) for value in values)
    assert np.isfinite(ahead.values).all() if known else np.isnan(ahead.values).all()


def test_the_blend_looks_for_its_error_where_there_was_a_value():
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
