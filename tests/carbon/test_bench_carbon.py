"""The benchmark's own forecasts, on a grid whose future is obvious."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from test_baseline_forecasts import days

from zeus_ray.quantity_format import DAY_S, HOUR_S

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return lambda name: runpy.run_path(str(BENCHMARKS / f"{name}.py"))


@pytest.mark.parametrize("step_s", [1800.0, HOUR_S])
def test_hindsight_knows_a_day_that_repeats(benchmarks, step_s):
    truth = days(40, step_s)
    view = benchmarks("hindsight_forecast")["HindsightView"](truth, 20 * DAY_S, truth.end_s)
    now_s = 21 * DAY_S + 5 * HOUR_S
    expected, uncertainty = view.forecast(now_s, now_s + 30 * HOUR_S)
    assert expected.end_s >= now_s + 30 * HOUR_S
    first = round((expected.start_s - truth.start_s) / step_s)
    np.testing.assert_allclose(expected.values, truth.values[first : first + len(expected)], atol=1e-6)
    assert uncertainty.spread.start_s == now_s + step_s


def test_hindsight_is_fitted_on_the_hours_that_it_forecasts(benchmarks):
    truth = days(60)
    truth.values[:] += np.random.default_rng(0).normal(size=len(truth)) * 20
    view = benchmarks("hindsight_forecast")["HindsightView"](truth, 30 * DAY_S, truth.end_s)
    off = []
    for now_s in DAY_S * np.arange(31, 50):
        expected, _ = view.forecast(now_s, now_s + 24 * HOUR_S)
        first = round((now_s + HOUR_S - truth.start_s) / HOUR_S)
        off.append(expected.values[-24:] - truth.values[first : first + 24])
    assert np.std(off) < 19  # the noise is 20, and no forecast from history can know it


def test_the_mean_day_is_the_mean_of_all_whole_days(benchmarks):
    ahead = benchmarks("bench_first_days")["MeanDay"]().forecast(days(3), 24 * HOUR_S)
    np.testing.assert_allclose(ahead.values, days(1).values)
    assert ahead.start_s == 3 * DAY_S


@pytest.mark.slow
def test_windows_come_from_the_half_that_is_asked_for(benchmarks, tmp_path):
    bench = benchmarks("bench_first_days")
    truth = days(210)
    stamps = np.datetime64("2022-01-01T00:00:00") + np.arange(len(truth)) * np.timedelta64(1, "h")
    rows = [f"{s}+00:00,{v}" for s, v in zip(stamps, truth.values, strict=True)]
    long = tmp_path / "long.csv"
    long.write_text("\n".join(["timestamp,carbon_intensity_g_per_kwh", *rows]))
    judged = bench["windows"](long, 100 * HOUR_S, chosen=False)
    chosen = bench["windows"](long, 100 * HOUR_S, chosen=True)
    assert max(w.end_s for w in chosen) <= min(w.start_s for w in judged)
    assert {len(w) for w in [*judged, *chosen]} == {83}
