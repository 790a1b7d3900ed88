"""Waiting for the best start, on files and a clock that the test moves."""

import datetime as dt
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.carbon.planning.wait_for_start import DUE_S, wait_for_start
from zeus_ray.cli.main import main
from zeus_ray.errors import BadInput

START = dt.datetime(2026, 6, 1, tzinfo=dt.timezone.utc)
HOUR_S = 3600.0


class Clock:
    def __init__(self, hours=24.0):
        self.s = START.timestamp() + hours * HOUR_S

    def now_s(self):
        return self.s

    def sleep(self, s):
        assert s > 0
        self.s += s


def written(path, hourly):
    rows = [f"{(START + dt.timedelta(hours=i)).isoformat()},{value}" for i, value in enumerate(hourly)]
    path.write_text("\n".join(["time,g", *rows]) + "\n")
    return f"csv:{path}"


def waits(signal, clock, *, hours, until_h=None):
    said = []
    deadline = None if until_h is None else START + dt.timedelta(hours=until_h)
    wait_for_start(
        signal, hours=hours, deadline=deadline, say=said.append, now_s=clock.now_s, sleep=clock.sleep
    )
    return said


@pytest.mark.slow
def test_it_waits_for_the_lowest_hours_and_says_for_what(tmp_path):
    signal = written(tmp_path / "s.csv", [300] * 30 + [100] * 6 + [300] * 60)
    clock = Clock()
    said = waits(signal, clock, hours=6)
    assert clock.s == pytest.approx(START.timestamp() + 30 * HOUR_S, abs=2 * DUE_S)
    assert len(said) == 1
    assert said[0].startswith("waiting 6.00 h until")
    assert "100 " in said[0]
    assert "less than if it started now" in said[0]


def test_the_deadline_is_met_where_the_lowest_hours_come_later(tmp_path):
    signal = written(tmp_path / "s.csv", [300] * 26 + [200] * 6 + [100] * 64)
    clock = Clock()
    waits(signal, clock, hours=6, until_h=32)
    assert clock.s <= START.timestamp() + 26 * HOUR_S + DUE_S


def test_now_is_the_best_start(tmp_path):
    signal = written(tmp_path / "s.csv", [100] * 30 + [300] * 66)
    clock = Clock()
    said = waits(signal, clock, hours=3)
    assert clock.s == Clock().s
    assert said[0].startswith("now is the best start")


@pytest.mark.slow
@given(st.lists(st.integers(50, 500), min_size=80, max_size=80), st.integers(1, 8), st.integers(9, 40))
def test_it_always_ends_in_time(tmp_path_factory, hourly, hours, within_h):
    signal = written(tmp_path_factory.mktemp("signal") / "s.csv", hourly)
    clock = Clock()
    waits(signal, clock, hours=hours, until_h=24 + within_h)
    assert clock.s + hours * HOUR_S <= START.timestamp() + (24 + within_h) * HOUR_S + DUE_S + 1


@pytest.mark.slow
def test_a_file_that_changes_moves_the_start(tmp_path):
    path = tmp_path / "s.csv"
    signal = written(path, [300] * 40 + [100] * 6 + [300] * 60)
    clock = Clock()
    said = []

    def sleep(s):
        clock.sleep(s)
        written(path, [300] * 34 + [50] * 6 + [300] * 66)

    wait_for_start(signal, hours=6, deadline=None, say=said.append, now_s=clock.now_s, sleep=sleep)
    assert clock.s == pytest.approx(START.timestamp() + 34 * HOUR_S, abs=2 * DUE_S)
    assert len(said) == 2


def test_a_file_that_ends_before_now_is_refused(tmp_path):
    signal = written(tmp_path / "s.csv", [300] * 96)
    with pytest.raises(BadInput, match="what it will be later is not known"):
        waits(signal, Clock(hours=500), hours=3)


@pytest.mark.processes
def test_the_command_line(monkeypatch, capfd):
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:V100")
    run = ["carbon", "run", "--signal", "constant:300", "--hours", "1"]
    assert main([*run, "--dry-run"]) == 0
    assert "now is the best start" in capfd.readouterr().err
    assert main([*run, "--", sys.executable, "-c", "print('trained'); raise SystemExit(4)"]) == 4
    out, err = capfd.readouterr()
    assert out == "trained\n"
    assert "g CO2eq by constant:300" in err
    assert main(run) == 2
    assert main([*run, "--before", "soon", "--", "true"]) == 2
    assert "--before is 'soon'" in capfd.readouterr().err
    assert main(["carbon"]) == 2
