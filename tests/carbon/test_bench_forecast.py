"""The benchmark of forecasts, on a grid whose future is obvious."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from test_baseline_forecasts import days

from zeus_ray.carbon.forecasts.baseline_forecasts import PersistenceForecast, SameHourForecast
from zeus_ray.quantity_format import DAY_S

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bench_forecast.py"


@pytest.fixture(scope="module")
def bench():
    return runpy.run_path(str(SCRIPT))


def test_a_day_that_repeats_has_no_error_and_persistence_has_a_known_one(bench):
    series = days(6)
    when_s = np.array([3 * DAY_S])
    assert np.allclose(bench["errors"](SameHourForecast(), series, when_s)[0], 0.0)
    percent, _each_s = bench["errors"](PersistenceForecast(), series, when_s)
    last = series.at(3 * DAY_S - 1)
    truth = [series.at(3 * DAY_S + lead * 3600 - 1800) for lead in bench["LEADS_H"]]
    np.testing.assert_allclose(percent[0], [100 * abs(last - t) / t for t in truth])


def test_long_files_are_judged_on_their_second_half(bench):
    assert bench["origins_s"](days(60), 24.0)[0] == 30 * DAY_S
    assert bench["origins_s"](days(10), 24.0)[0] == DAY_S


def test_a_folder_without_files_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench_forecast.py", "--signals", str(tmp_path)])
    with pytest.raises(SystemExit):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert "holds no CSV" in capsys.readouterr().err
