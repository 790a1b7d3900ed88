"""When a source is fetched, what is cached, and the value while it does not answer. On a test clock."""

import json
import math
import os
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.carbon.cached_values_and_fallback import (
    CACHE_VERSION,
    KEEP_HISTORY_S,
    WORLD_MEAN_G_PER_KWH,
    CachedSignal,
    cache_file,
)
from zeus_ray.carbon.fetched_signal import FETCH_EVERY_S, RemoteSignal
from zeus_ray.carbon.series import Series
from zeus_ray.errors import SignalLost
from zeus_ray.quantity_format import HOUR_S

T0 = 1.7e9 - 1.7e9 % 3600


class Source:
    """Has every hour up to now, whose value is its number. Fails while ``fails`` is set."""

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


def test_it_fetches_when_it_is_due_and_only_what_is_new():
    source, clock = Source(), Clock()
    signal = made(source, clock)
    assert signal.refresh()
    assert source.asked == [(T0 - KEEP_HISTORY_S, T0)]
    clock.now_s += FETCH_EVERY_S - 1
    assert signal.refresh()
    assert len(source.asked) == 1
    clock.now_s += 1
    assert signal.refresh()
    assert source.asked[1] == (T0 - 86400, T0 + FETCH_EVERY_S)


def test_five_weeks_are_kept():
    source, clock = Source(), Clock()
    signal = made(source, clock)
    for _day in range(40):
        signal.refresh()
        clock.now_s += 86400
    assert len(signal.cached.history) == KEEP_HISTORY_S / HOUR_S


def test_it_backs_off_within_bounds_and_recovers(caplog):
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


def test_an_unexpected_error_is_logged_and_not_raised(caplog):
    source = Source()
    source.fails = ZeroDivisionError("unexpected")
    signal = made(source)
    assert not signal.refresh()
    assert "could not be understood" in signal.note
    assert "ZeroDivisionError" in caplog.text


def test_the_order_of_estimates():
    history = Series(T0, HOUR_S, np.array([100.0, 300.0, math.nan]))
    forecast = Series(T0 + 3 * HOUR_S, HOUR_S, np.array([250.0]))
    cached = CachedSignal(history, forecast, T0, 7.0)
    assert cached.at(T0 + HOUR_S) == 300  # measured
    assert cached.at(T0 + 3 * HOUR_S) == 250  # forecast
    assert cached.at(T0 + 2.5 * HOUR_S) == 300  # the last value
    assert cached.at(T0 + 8 * HOUR_S) == 300
    assert cached.at(T0 + 8 * HOUR_S + 1) == 200  # after six hours the mean
    assert cached.at(T0 - 1) == 200
    assert CachedSignal(fallback=7.0).at(T0) == 7
    assert CachedSignal().at(math.nan) == WORLD_MEAN_G_PER_KWH


@given(st.lists(st.one_of(st.just(math.nan), st.floats(0, 1e3)), max_size=20), st.floats(-1e5, 1e5))
def test_there_is_always_a_value(values, time_s):
    cached = CachedSignal(Series(0.0, HOUR_S, np.array(values, dtype=float)))
    assert math.isfinite(cached.at(time_s))


def test_new_values_replace_old_ones():
    cached = CachedSignal().updated(Series(T0, HOUR_S, np.array([1.0, 2.0])), None, T0)
    cached = cached.updated(Series(T0 + HOUR_S, HOUR_S, np.array([9.0, 3.0])), None, T0)
    assert list(cached.history.values) == [1, 9, 3]
    nothing = CachedSignal().updated(Series(T0, HOUR_S, np.array([math.nan])), None, T0)
    assert len(nothing.history) == 0


def test_the_cache_is_read_by_the_next_process(tmp_path):
    file, clock = tmp_path / "a" / "x.json", Clock()
    first = made(clock=clock, cache=file)
    first.refresh()
    source = Source()
    again = made(source, clock, cache=file)
    assert again.refresh()
    assert source.asked == []
    assert again.note == ""
    np.testing.assert_equal(again.cached.history.values, first.cached.history.values)
    assert os.listdir(file.parent) == ["x.json"]  # noqa: PTH208 — nothing half-written is left


def stored(start_s=T0 - 7200, step_s=HOUR_S, values=(1.0, math.nan), **more):
    """The text of a cache."""
    series = {"start_s": start_s, "step_s": step_s, "values": values, "unit": "of a later version"}
    return json.dumps(
        {"version": CACHE_VERSION, "fetched_s": T0 - 1e6, "history": series, "forecast": series, "new": 1}
        | more
    )


def test_unknown_fields_of_a_cache_are_ignored_and_nan_is_kept(tmp_path):
    (tmp_path / "x.json").write_text(stored(start_s=T0 - 1e6 - 7200))
    np.testing.assert_equal(made(cache=tmp_path / "x.json").cached.history.values, [1.0, math.nan])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"version": 1, "fetched_s": 1}',
        stored(version=CACHE_VERSION + 1),
        stored(fetched_s="x"),
        stored(history={}),
        stored(step_s=0),
        stored(start_s=math.nan),
        stored(values=["x"]),
        stored(start_s=1e300, step_s=1.0),
        stored(start_s=-1e300, step_s=1e-300),
        stored(start_s=T0 + 1e8),  # measured after it was fetched
    ],
)
def test_a_damaged_cache_is_ignored(text, tmp_path):
    file = tmp_path / "x.json"
    file.write_text(text)
    signal = made(cache=file)
    assert signal.at(T0) == WORLD_MEAN_G_PER_KWH
    assert signal.refresh()
    assert len(signal.cached.history) == KEEP_HISTORY_S / HOUR_S


def test_a_disk_that_cannot_be_written_is_only_warned_of(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    signal = made(cache=tmp_path / "file" / "x.json")
    assert signal.refresh()
    assert "is not written" in caplog.text


def test_a_zone_is_not_a_path(cache_home):
    assert cache_file(Source.name, Source.zone).parent == cache_home / "zeus-ray" / "carbon"


def test_reading_does_not_wait_for_an_answer():
    source = Source()
    source.gate.clear()
    signal = RemoteSignal(source, clock=Clock(), fallback=5.0)
    assert [signal.at(T0) for _ in range(3)] == [5.0] * 3  # while the source does not answer
    source.gate.set()
    signal._thread.join()
    assert len(source.asked) == 1
    assert signal.at(T0 - HOUR_S) == (T0 / HOUR_S - 1) % 1000


def test_without_a_thread_there_is_still_a_value(monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert RemoteSignal(Source(), clock=Clock(), fallback=5.0).at(T0) == 5.0


def test_a_pickled_signal_has_its_arguments_and_no_data(tmp_path):
    signal = RemoteSignal(Source(), cache=tmp_path / "x.json", background=False, fallback=3.0)
    again = pickle.loads(pickle.dumps(signal))  # noqa: S301 — made above
    assert (again.at(T0), again._cache, again._background) == (3.0, tmp_path / "x.json", False)
