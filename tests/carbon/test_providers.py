"""Each provider against replies in its documented format, over real HTTP; and its failures."""

import base64
import json
import logging
import math
import pickle

import httpx
import numpy as np
import pytest
from examples import examples
from grid_server import MAPS_HISTORY, T0, WATT_META, WATT_PAST, GridServer, maps_row
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.carbon import http_client
from zeus_ray.carbon.fetched_signal import RemoteSignal
from zeus_ray.carbon.forecasts.provider_forecast_or_from_history import forecast_signal
from zeus_ray.carbon.open_signal import open_signal
from zeus_ray.carbon.providers.electricity_maps import ElectricityMaps
from zeus_ray.carbon.providers.uk import Uk
from zeus_ray.carbon.providers.watttime import WattTime
from zeus_ray.carbon.series import Series
from zeus_ray.errors import BadInput, SignalLost

pytestmark = pytest.mark.slow

TOKEN = "s3cret-t0ken"  # noqa: S105 — the test's own
PASSWORD = "p4ssw0rd"  # noqa: S105 — likewise


@pytest.fixture(autouse=True)
def tokens(monkeypatch):
    monkeypatch.setenv("ELECTRICITYMAPS_TOKEN", TOKEN)
    monkeypatch.setenv("WATTTIME_USER", "ada")
    monkeypatch.setenv("WATTTIME_PASSWORD", PASSWORD)


def remote(source, grid, **options):
    return RemoteSignal(type(source)(source.zone, grid.url), clock=lambda: T0, background=False, **options)


ALL = [Uk(), ElectricityMaps("DE"), WattTime("CAISO_NORTH")]
names = pytest.mark.parametrize("source", ALL, ids=lambda source: source.name)


# --- requests and replies ------------------------------------------------------------------------


@pytest.mark.slow
def test_uk(grid):
    signal = remote(Uk(), grid)
    assert signal.refresh()
    assert signal.at(T0 - 1) == 140
    assert signal.at(T0) == 160  # not measured yet: what was forecast
    np.testing.assert_equal(signal.history(T0 - 1800, T0 + 1800).values, [140, math.nan])
    assert list(signal.forecast(T0 + 60, 5000).values) == [160, 161, 162]
    paths = [path for path, _query, _headers in grid.asked]
    assert paths[0].startswith("/intensity/2026-02-22T00:00Z/2026-03-07T00:00Z")
    assert paths[-1] == "/intensity/2026-03-29T00:00Z/fw48h"


def test_electricity_maps(grid):
    signal = remote(ElectricityMaps("DE"), grid)
    assert signal.refresh()
    assert [signal.at(T0 - h * 3600) for h in (2, 1)] == [300, 320]
    assert signal.at(T0 - 9 * 86400) == 280
    assert signal.forecast(T0, 2 * 3600).values.tolist() == [310, 311]
    _path, query, headers = grid.asked[-1]
    assert query == {"zone": ["DE"], "horizonHours": ["48"]}
    assert headers["auth-token"] == TOKEN


def test_a_free_plan_gives_a_day_of_history_and_no_forecast(grid):
    for path in ("forecast", "past-range"):
        grid.replies[f"/v3/carbon-intensity/{path}"] = (403, {}, b"")
    signal = remote(ElectricityMaps("DE"), grid)
    assert signal.refresh()
    assert signal.forecast(T0, 3600) is None
    assert len(grid.asked) == 3
    assert np.isfinite(forecast_signal(signal, T0, 86400).values).all()


def test_the_invented_values_of_a_sandbox_token_are_refused(grid):
    row = maps_row("2026-03-28T23:00:00.000Z", 320, isEstimated=True, estimationMethod="SANDBOX_MODE_DATA")
    grid.replies["/v3/carbon-intensity/history"] = {**MAPS_HISTORY, "history": [row]}
    signal = remote(ElectricityMaps("DE"), grid, fallback=400.0)
    assert not signal.refresh()
    assert "sandbox token" in signal.note
    assert signal.at(T0) == 400.0


def test_watttime_is_marginal_and_converted_to_grams_per_kwh(grid):
    signal = remote(WattTime("CAISO_NORTH"), grid)
    assert signal.refresh()
    assert signal.source.kind == "marginal"
    assert signal.at(T0 - 300) == pytest.approx(453.59237)
    assert signal.forecast(T0, 300).values.tolist() == pytest.approx([1100 * 0.45359237])
    login = base64.b64encode(f"ada:{PASSWORD}".encode()).decode()
    assert grid.asked[0][2]["authorization"] == f"Basic {login}"
    assert grid.asked[-1][2]["authorization"] == "Bearer jwt-of-half-an-hour"
    assert grid.asked[1][1]["signal_type"] == ["co2_moer"]


def test_watttime_with_a_token_does_not_log_in(grid, monkeypatch):
    monkeypatch.setenv("WATTTIME_TOKEN", TOKEN)
    assert remote(WattTime("CAISO_NORTH"), grid).refresh()
    assert grid.asked[0][2]["authorization"] == f"Bearer {TOKEN}"


def test_an_unexpected_unit_is_refused(grid):
    grid.replies["/v3/historical"] = {**WATT_PAST, "meta": {**WATT_META, "units": "percentile"}}
    signal = remote(WattTime("CAISO_NORTH"), grid)
    assert not signal.refresh()
    assert "'percentile', not lbs_co2_per_mwh" in signal.note


def test_local_times_over_a_clock_change_lose_no_hour(grid):
    """01:00+01:00 is followed by 03:00+02:00 in this night."""
    rows = [maps_row("2026-03-29T01:00:00+01:00", 1), maps_row("2026-03-29T03:00:00+02:00", 2)]
    grid.replies["/v3/carbon-intensity/history"] = {**MAPS_HISTORY, "history": rows}
    grid.replies["/v3/carbon-intensity/past-range"] = (403, {}, b"")
    signal = remote(ElectricityMaps("DE"), grid)
    assert signal.refresh()
    assert list(signal.cached.history.values) == [1, 2]
    assert signal.cached.history.start_s == T0


# --- failures: the note says why, the fallback is used, nothing is raised ------------------------

BAD = {
    "wrong token": ((401, {}, b"{}"), "token or the password is wrong"),
    "no access": ((403, {}, b"{}"), "may not read zone"),
    "unknown zone": ((404, {}, b"{}"), "is not known there"),
    "refused": ((400, {}, b'{"error":{"code":"400 Bad Request"}}'), "was refused"),
    "rate limit": ((429, {"Retry-After": "7200"}, b""), "too many requests"),
    "broken server": ((502, {}, b"<html>"), "status 502"),
    "redirect": ((302, {"Location": "https://example.invalid/"}, b""), "status 302"),
    "no JSON": ((200, {}, b"<html>try later"), "not JSON"),
    "nothing": ((200, {}, b""), "not JSON"),
    "not UTF-8": ((200, {}, b'{"data": "\xff"}'), ""),
    "a list": ([], ""),
    "null": (None, ""),
    "no rows": ({"message": "no data", "token": "t", "meta": WATT_META}, "has no list"),
    "odd rows": (
        {"token": "t", "meta": WATT_META, "data": [1], "history": ["x"], "forecast": [{}]},
        "a row that is not a time",
    ),
}


@pytest.mark.parametrize(("reply", "said"), BAD.values(), ids=BAD)
def test_a_failure_is_noted_and_not_raised(reply, said, grid):
    grid.answer_all(reply)
    for source in ALL:
        signal = remote(source, grid, fallback=400.0)
        assert not signal.refresh()
        assert said in signal.note
        assert signal.note.startswith(f"{source.name}:{source.zone}: ")
        assert signal.at(T0) == 400
        assert len(signal.history(0, T0)) == 0
        assert signal.forecast(T0, 3600) is None


def test_no_server():
    gone = GridServer()
    gone.close()
    for source in ALL:
        signal = remote(source, gone)
        assert not signal.refresh()
        assert "no answer (ConnectError)" in signal.note


def test_a_server_that_never_answers_times_out(grid, monkeypatch):
    monkeypatch.setattr(http_client, "HTTP_TIMEOUT_S", 0.05)
    grid.may_answer.clear()
    signal = remote(Uk(), grid)
    assert not signal.refresh()
    assert "ReadTimeout" in signal.note


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("7200", 7200),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 60),
        ("Thu, 31 Dec 2099 00:00:00 GMT", 86400),
        ("soon", 60),
        ("-5", 60),
        ("999999999", 86400),
    ],
)
def test_a_rate_limit_is_respected(header, wait_s, grid):
    grid.answer_all((429, {"Retry-After": header}, b""))
    signal = remote(Uk(), grid)
    signal.refresh(T0)
    asked = len(grid.asked)
    signal.refresh(T0 + wait_s - 1)
    assert len(grid.asked) == asked
    signal.refresh(T0 + wait_s)
    assert len(grid.asked) == asked + 1


# --- zones and credentials -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("electricitymaps:DE", "needs ELECTRICITYMAPS_TOKEN in the environment"),
        ("electricitymaps", "zone of electricitymaps is ''; allowed: one such as DE"),
        ("electricitymaps:Germany", "'Germany'"),
        ("watttime:CAISO_NORTH", "needs WATTTIME_USER and WATTTIME_PASSWORD"),
        ("watttime:x", "one such as CAISO_NORTH"),
        ("uk:Wales", "'Wales'; allowed: GB, the only one"),
        ("uk?x=1", "'x'.*allowed: none"),
        ("electricitymap:DE", "allowed: .*electricitymaps:ZONE"),
    ],
)
def test_a_missing_zone_or_credential_is_an_error_at_once(text, said, monkeypatch):
    for name in ("ELECTRICITYMAPS_TOKEN", "WATTTIME_USER"):
        monkeypatch.delenv(name)
    with pytest.raises(BadInput, match=said):
        open_signal(text)


def test_a_token_that_disappears_is_noted(grid, monkeypatch):
    signal = remote(ElectricityMaps("DE"), grid)
    assert signal.refresh(T0)
    for useless in ("", "two\nlines", "ä"):
        monkeypatch.setenv("ELECTRICITYMAPS_TOKEN", useless)
        assert not signal.refresh(T0 + 1e6)
        assert "needs ELECTRICITYMAPS_TOKEN" in signal.note
        signal._due_s = 0
    assert signal.at(T0 - 3600) == 320


@names
@pytest.mark.parametrize("works", [True, False])
def test_no_secret_in_log_note_cache_error_or_pickle(source, works, grid, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    basic = base64.b64encode(f"ada:{PASSWORD}".encode()).decode()
    secrets = [TOKEN, PASSWORD, basic, "jwt-of-half-an-hour"]
    if not works:  # a server that sends back what it got
        grid.answer_all((401, {}, " ".join(secrets).encode()))
    file, error = tmp_path / "cache.json", ""
    signal = RemoteSignal(type(source)(source.zone, grid.url), cache=file, background=False)
    assert signal.refresh() is works
    try:
        signal.source.fetch(T0 - 60, T0)
    except SignalLost as lost:
        error = f"{lost!r} {lost.__cause__!r} {lost.__context__!r}"
    assert bool(error) is not works
    shown = [caplog.text, signal.note, file.read_text() if works else "", repr(vars(signal)), error]
    everything = " ".join(shown).encode() + pickle.dumps(signal)
    assert [secret for secret in secrets if secret.encode() in everything] == []


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["2026-03-29T00:00Z", 5e9]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["from", "data", "intensity", "actual", "forecast"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(json_values)
@examples(150)
def test_any_json_is_a_series_or_a_lost_signal(reply):
    """Through the real client, on a transport without a socket: hundreds of replies in a second."""
    text = json.dumps({"data": [reply, *reply] if isinstance(reply, list) else reply})
    api = http_client.JsonApi("http://grid", "GB")
    api._client = httpx.Client(
        transport=httpx.MockTransport(lambda _request: httpx.Response(200, text=text)), base_url="http://grid"
    )
    with api:
        try:
            rows = api.rows(api.get("/"), "data")
            series = api.series(rows, "from", lambda row: row["intensity"]["actual"])
        except SignalLost:
            return
    assert series is None or isinstance(series, Series)
