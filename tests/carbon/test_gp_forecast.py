"""The forecast by Gaussian-process regression: how days are learnt, and how the latest error decays."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeus_ray.carbon.forecasts.gp_forecast import GpForecast, covariance
from zeus_ray.carbon.series import Series
from zeus_ray.quantity_format import DAY_S

DAY = 100 + 50 * np.sin(2 * np.pi * np.arange(24) / 24)


def days(*factors, step_s=3600.0):
    return Series(0.0, step_s, np.concatenate([DAY * f for f in factors]))


def test_equal_days_are_repeated_for_ever():
    ahead = GpForecast().forecast(days(*[1] * 14), 60 * DAY_S)
    assert ahead.start_s == 14 * DAY_S
    assert ahead.values == pytest.approx(np.tile(DAY, 60), abs=10)  # of 50 up and down


def test_more_days_give_a_better_forecast():
    off = [
        np.abs(GpForecast().forecast(days(*[1] * n), 48 * 3600.0).values - np.tile(DAY, 2)).max()
        for n in (1, 2, 4, 8)
    ]
    assert off == sorted(off, reverse=True)
    assert off[0] < 40  # even one day tells more than its mean does, which is off by 50


def test_an_error_decays():
    history = days(*[1] * 28)
    before = GpForecast().forecast(history, 72 * 3600.0).values
    history.values[-1] += 10
    error = GpForecast().forecast(history, 72 * 3600.0).values - before
    assert error[0] > 9  # and it may go on as it began
    assert abs(error[20]) < 5
    assert abs(error[60]) < 1


def test_the_same_in_other_units_above_another_level():
    history = Series(0.0, 3600.0, np.random.default_rng(1).normal(size=100))
    other = Series(0.0, 3600.0, 500 + 20 * history.values)
    ahead = GpForecast().forecast(history, 48 * 3600.0).values
    assert GpForecast().forecast(other, 48 * 3600.0).values == pytest.approx(500 + 20 * ahead)


def test_it_is_the_best_linear_forecast_of_what_it_assumes():
    """Of many grids drawn from its own assumption, no simpler one comes near."""
    rng, n = np.random.default_rng(2), 96
    when = 3600.0 * np.arange(n + 24)
    root = np.linalg.cholesky(covariance(np.abs(when[:, None] - when)))
    off = {"ours": 0.0, "persistence": 0.0, "yesterday": 0.0, "mean day": 0.0}
    for _ in range(200):
        grid = root @ rng.normal(size=len(when))
        past, truth = grid[:n], grid[n:]
        mean_day = past.reshape(-1, 24).mean(axis=0)
        forecasts = {
            "ours": GpForecast().forecast(Series(0.0, 3600.0, past), DAY_S).values,
            "persistence": np.full(24, past[-1]),
            "yesterday": past[-24:],
            "mean day": mean_day,
        }
        for name, values in forecasts.items():
            off[name] += float(np.mean((values - truth) ** 2))
    assert off["ours"] < 0.8 * min(x for name, x in off.items() if name != "ours")


@pytest.mark.slow
def test_a_long_past_of_short_steps_and_one_with_gaps_say_the_same():
    fine = days(*[1.0, 0.8] * 14)
    coarse = GpForecast().forecast(fine, 48 * 3600.0).values
    quarters = Series(0.0, 900.0, np.repeat(fine.values, 4))
    assert GpForecast().forecast(quarters, 48 * 3600.0).values[2::4] == pytest.approx(coarse, abs=5)
    fine.values[100:140] = math.nan
    assert GpForecast().forecast(fine, 48 * 3600.0).values == pytest.approx(coarse, abs=5)


def test_the_uncertainty_is_the_spread_of_days():
    uncertainty = GpForecast().uncertainty(days(0.9, 1.1), 30 * 3600.0)
    assert uncertainty.spread.start_s == 2 * 86400
    assert uncertainty.spread.values == pytest.approx(0.1 * np.tile(DAY, 2)[:30])
    assert not GpForecast().uncertainty(Series(0.0, 3600.0, np.ones(5)), 7200.0).spread.values.any()


def test_one_value_is_persistence():
    assert GpForecast().forecast(Series(0.0, 3600.0, np.array([3.0])), 7200.0).values == pytest.approx([3, 3])


@settings(deadline=None)
@given(
    values=st.lists(st.one_of(st.just(math.nan), st.floats(0, 1000)), max_size=120),
    step_s=st.sampled_from([1800.0, 3600.0, 7000.0, 90_000.0]),
)
def test_any_history_gives_numbers_if_anything_is_known(values, step_s):
    history = Series(5.0, step_s, np.array(values, dtype=float))
    ahead = GpForecast().forecast(history, 36 * 3600.0)
    assert ahead.start_s == history.end_s
    assert len(ahead) >= 36 * 3600.0 / step_s
    assert np.isfinite(ahead.values).all() == (not all(math.isnan(v) for v in values))
