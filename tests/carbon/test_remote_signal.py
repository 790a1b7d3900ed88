"""When a source is asked, what is remembered, and what is said while it is silent. On a clock of ours."""

import json
import math
import os
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.carbon.cache import KEEP_S, WORLD_MEAN_G, CachedSignal, cache_file
from zeus_ray.carbon.remote_signal import EVERY_S, RemoteSignal
from zeus_ray.carbon.series import Series
from zeus_ray.errors import SignalLost

T0 = 1.7e9 - 1.7e9 % 3600
HOUR_S = 3600.0


class Source:
    """Knows every hour up to now: its value is the hour's number. Fails while ``fails`` is set."""

    name, zone, unit, kind = "test", "X/../Y", "gCO2eq/kWh", "average"

    def __init__(self):
        self.asked = []
        self.fails = None
        self.gate = threading.Event()
        self.gate.set()

    def __reduce__(self):
        return Source, ()

    def fetch(self, since_s, now_s):
        self.asked.append((since_s, now_s))
        self.gate.wait()
        if self.fails:
            raise self.fails
        first = math.ceil(since_s / HOUR_S)
        hours = np.arange(first, math.floor(now_s / HOUR_S))
        return Series(first * HOUR_S, HOUR_S, hours.astype(float) % 1000), None


class Clock:
    def __init__(self):
        self.now_s = T0

    def __call__(self):
        return self.now_s


def made(source=None, clock=None, **options):
    return RemoteSignal(source or Source(), clock=clock or Clock(), background=False, **options)


def test_it_asks_again_only_when_it_is_time_and_only_for_what_is_new():
    source, clock = Source(), Clock()
    signal = made(source, clock)
    assert signal.refresh()
    assert source.asked == [(T0 - KEEP_S, T0)]
    clock.now_s += EVERY_S - 1
    assert signal.refresh()
    assert len(source.asked) == 1
    clock.now_s += 1
    assert signal.refresh()
    assert source.asked[1] == (T0 - 86400, T0 + EVERY_S)


def test_five_weeks_are_kept():
    source, clock = Source(), Clock()
    signal = made(source, clock)
    for _day in range(40):
        signal.refresh()
        clock.now_s += 86400
    assert len(signal.known.past) == KEEP_S / HOUR_S


def test_it_backs_off_within_bounds_and_comes_back(caplog):
    source, clock = Source(), Clock()
    signal = made(source, clock, fallback=5.0)
    source.fails = SignalLost("no answer")
    waits = []
    for _ in range(9):
        assert not signal.refresh()
        waits.append(signal._due_s - clock.now_s)
        clock.now_s = signal._due_s
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert signal.at(clock.now_s) == 5.0
    assert len(caplog.records) == 1  # not a line per attempt
    source.fails = None
    assert signal.refresh()
    assert signal.note == ""
    assert "answers again" in caplog.text


def test_a_fault_of_our_own_is_logged_and_survived(caplog):
    source = Source()
    source.fails = ZeroDivisionError("ours")
    signal = made(source)
    assert not signal.refresh()
    assert "could not be understood" in signal.note
    assert "ZeroDivisionError" in caplog.text


def test_the_stated_fallback_in_its_order():
    past = Series(T0, HOUR_S, np.array([100.0, 300.0, math.nan]))
    ahead = Series(T0 + 3 * HOUR_S, HOUR_S, np.array([250.0]))
    known = CachedSignal(past, ahead, T0, 7.0)
    assert known.at(T0 + HOUR_S) == 300  # measured
    assert known.at(T0 + 3 * HOUR_S) == 250  # forecast
    assert known.at(T0 + 2.5 * HOUR_S) == 300  # the last value
    assert known.at(T0 + 8 * HOUR_S) == 300
    assert known.at(T0 + 8 * HOUR_S + 1) == 200  # after six hours the mean
    assert known.at(T0 - 1) == 200
    assert CachedSignal(fallback=7.0).at(T0) == 7
    assert CachedSignal().at(math.nan) == WORLD_MEAN_G


@given(st.lists(st.one_of(st.just(math.nan), st.floats(0, 1e3)), max_size=20), st.floats(-1e5, 1e5))
def test_there_is_always_a_value(values, time_s):
    known = CachedSignal(Series(0.0, HOUR_S, np.array(values, dtype=float)))
    assert math.isfinite(known.at(time_s))


def test_news_correct_what_was_known():
    known = CachedSignal().with_news(Series(T0, HOUR_S, np.array([1.0, 2.0])), None, T0)
    known = known.with_news(Series(T0 + HOUR_S, HOUR_S, np.array([9.0, 3.0])), None, T0)
    assert list(known.past.values) == [1, 9, 3]
    nothing = CachedSignal().with_news(Series(T0, HOUR_S, np.array([math.nan])), None, T0)
    assert len(nothing.past) == 0


def test_the_disk_remembers(tmp_path):
    file, clock = tmp_path / "a" / "x.json", Clock()
    first = made(clock=clock, cache=file)
    first.refresh()
    source = Source()
    again = made(source, clock, cache=file)
    assert again.refresh()
    assert source.asked == []
    assert again.note == ""
    np.testing.assert_equal(again.known.past.values, first.known.past.values)
    assert os.listdir(file.parent) == ["x.json"]  # noqa: PTH208 — nothing half-written is left


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"asked_s": 1}',
        '{"asked_s": "x", "past": {}, "ahead": {}}',
        json.dumps({"asked_s": T0, "past": {"start_s": 0, "step_s": 0, "values": []}, "ahead": {}}),
        json.dumps({"asked_s": T0, "past": {"start_s": math.nan, "step_s": 1, "values": []}, "ahead": {}}),
        json.dumps({"asked_s": T0, "past": {"start_s": 0, "step_s": 1, "values": ["x"]}, "ahead": {}}),
    ],
)
def test_a_damaged_file_says_nothing(text, tmp_path):
    file = tmp_path / "x.json"
    file.write_text(text)
    signal = made(cache=file)
    assert signal.at(T0) == WORLD_MEAN_G
    assert signal.refresh()


@pytest.mark.parametrize(("start_s", "step_s"), [(1e300, 1.0), (-1e300, 1e-300), (T0 + 1e8, 3600.0)])
def test_a_file_of_impossible_times_says_nothing(start_s, step_s, tmp_path):
    file = tmp_path / "x.json"
    hours = {"start_s": start_s, "step_s": step_s, "values": [1, 2, 3]}
    file.write_text(json.dumps({"asked_s": T0 - 1e6, "past": hours, "ahead": hours}))
    signal = made(cache=file)
    assert signal.at(T0) == WORLD_MEAN_G
    assert signal.refresh()
    assert len(signal.known.past) == KEEP_S / HOUR_S


def test_a_disk_that_takes_nothing_is_survived(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    signal = made(cache=tmp_path / "file" / "x.json")
    assert signal.refresh()
    assert "is not written" in caplog.text


def test_a_zone_is_no_path(cache_home):
    assert cache_file(Source.name, Source.zone).parent == cache_home / "zeus-ray" / "carbon"


def test_nobody_waits_for_an_answer():
    source = Source()
    source.gate.clear()
    signal = RemoteSignal(source, clock=Clock(), fallback=5.0)
    assert [signal.at(T0) for _ in range(3)] == [5.0] * 3  # while the source keeps silent
    source.gate.set()
    signal._thread.join()
    assert len(source.asked) == 1
    assert signal.at(T0 - HOUR_S) == (T0 / HOUR_S - 1) % 1000


def test_without_a_thread_there_is_still_a_value(monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert RemoteSignal(Source(), clock=Clock(), fallback=5.0).at(T0) == 5.0


def test_pickled_it_begins_anew(tmp_path):
    signal = RemoteSignal(Source(), cache=tmp_path / "x.json", background=False, fallback=3.0)
    again = pickle.loads(pickle.dumps(signal))  # noqa: S301 — our own, made just now
    assert (again.at(T0), again._cache, again._background) == (3.0, tmp_path / "x.json", False)
