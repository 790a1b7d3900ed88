"""``zeus-ray carbon``: what it prints, its JSON, and its errors."""

import datetime as dt
import json
import math

import numpy as np
import pytest

from zeus_ray.carbon.cached_values_and_fallback import CachedSignal, cache_file, write_cache
from zeus_ray.carbon.planning.start_advice import hourly_means
from zeus_ray.carbon.providers import uk
from zeus_ray.carbon.series import Series
from zeus_ray.cli.main import main
from zeus_ray.reporting.terminal_bars import LABEL_WIDTH, bar_chart

NOON = dt.datetime(2022, 6, 1, 12, tzinfo=dt.timezone.utc).timestamp()


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ELECTRICITYMAPS_TOKEN", raising=False)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def file_signal(tmp_path):
    """Three weeks up to NOON: 100 g/kWh from 18:00 to 22:00 UTC, else 400."""
    times = [(NOON - 3600 * back) for back in range(21 * 24, 0, -1)]
    values = [100 if 18 <= dt.datetime.fromtimestamp(t, dt.timezone.utc).hour < 22 else 400 for t in times]
    path = tmp_path / "grid.csv"
    path.write_text("time,intensity\n" + "".join(f"{t},{v}\n" for t, v in zip(times, values, strict=True)))
    return f"csv:{path}"


def test_json_names_the_clean_hours(file_signal, capsys):
    assert main(["carbon", "--signal", file_signal, "--hours", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["best_start"] == "2022-06-01T18:00:00Z"
    assert found["best_mean"] == pytest.approx(100, abs=20)  # the forecast does not rest on past days alone
    assert (found["now"], found["value_now"]) == ("2022-06-01T12:00:00Z", 400)
    assert (found["forecast_start"], len(found["forecast"])) == ("2022-06-01T12:00:00Z", 48)
    assert "the file ends before today" in found["notes"][0]


def test_text_shows_a_bar_chart_and_the_best_start(file_signal, capsys):
    assert main(["carbon", "--signal", file_signal]) == 0
    shown = capsys.readouterr().out
    assert "400 gCO2eq/kWh now" in shown
    assert "█" in shown
    assert "4 h from" in shown
    assert "less than" in shown
    assert "with pauses" in shown


def test_a_price_below_zero_is_shown(tmp_path, capsys):
    path = tmp_path / "p.csv"
    path.write_text("time,price\n" + "".join(f"{NOON + 3600 * i},{0.1 * math.sin(i)}\n" for i in range(48)))
    assert main(["carbon", "--signal", f"csv:{path}?unit=EUR/kWh"]) == 0
    assert "EUR/kWh" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--signal", "DE"], "electricitymaps:ZONE"),
        (["--signal", "electricitymaps:DE"], "ELECTRICITYMAPS_TOKEN"),
        (["--signal", "electricitymaps:Narnia"], "one such as DE"),
        (["--signal", "csv:no-such.csv"], "no-such.csv: cannot be read"),
        (["--signal", "constant:4", "--hours", "0"], "hours is 0; allowed"),
        (["--signal", "constant:4", "--hours", "nan"], "hours is nan"),
        (["--signal", "constant:4", "--deadline", "tomorrow"], "such as 2026-12-01T08:00"),
        (["--signal", "constant:4", "--deadline", "2020-01-01"], "is in the past"),
    ],
)
def test_bad_input_is_one_line_that_names_what_is_allowed(arguments, message, capsys):
    assert main(["carbon", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_signal_is_required(capsys):
    assert main(["carbon"]) == 2
    assert "--signal" in capsys.readouterr().err


@pytest.mark.parametrize("utc", ["2099-01-01T08:00Z", "2099-01-01T08:00+00:00"])
def test_a_deadline_may_be_in_utc(capsys, utc):
    assert main(["carbon", "--signal", "constant:4", "--deadline", utc]) == 0
    assert "2099" not in capsys.readouterr().err


def test_a_job_longer_than_the_time_to_the_deadline_is_refused(capsys):
    soon = dt.datetime.now().astimezone() + dt.timedelta(hours=2)
    assert main(["carbon", "--signal", "constant:4", "--hours", "3", "--deadline", soon.isoformat()]) == 2
    assert "a job of 3 h does not fit in the 2 h" in capsys.readouterr().err


def test_the_cache_replaces_a_provider_that_does_not_answer(monkeypatch, capsys):
    unreachable = uk.Uk(base_url="http://127.0.0.1:9")  # the discard port, on which no server listens
    monkeypatch.setattr(uk, "Uk", lambda: unreachable)
    assert main(["carbon", "--signal", "uk"]) == 2
    assert capsys.readouterr().err == "zeus-ray: uk:GB: no answer (ConnectError)\n"
    hours = Series(NOON, 3600.0, np.arange(30.0))
    write_cache(cache_file(unreachable.name, unreachable.zone), CachedSignal(hours, fetched_s=hours.end_s))
    assert main(["carbon", "--signal", "uk"]) == 0
    assert "values are from the cache" in capsys.readouterr().out


@pytest.mark.parametrize("values", [[], [math.nan], [0.0, 0.0], [-1.0, 2.0], [1e9, 1e-9]])
def test_a_bar_chart_takes_any_values(values):
    assert bar_chart(values, height=3).plain.count("\n") == 3


def test_bars_are_as_high_as_their_values():
    rows = bar_chart([4.0, 2.0, 1.0, 0.0], height=2).plain.splitlines()
    assert [row[LABEL_WIDTH:] for row in rows] == ["█   ", "██▄ "]


def test_hourly_means_of_half_hours():
    half_hours = Series(NOON, 1800.0, np.array([1.0, 3.0, 5.0, 7.0]))
    assert list(hourly_means(half_hours, NOON).values) == [2.0, 6.0]
