"""A CSV, well-behaved or not, becomes regular intervals."""

import datetime as dt
import io
import math
import zoneinfo

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.carbon.csv_reader import read_csv
from zeus_ray.errors import BadInput

T0 = 1767225600  # 2026-01-01 00:00 UTC
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def parse_csv(text, **options):
    return read_csv(io.StringIO(text), **options)


def lines(*rows, header="time,value"):
    return "\n".join([header, *rows])


def hourly(values, start_s=T0):
    return lines(*(f"{start_s + 3600 * i},{v}" for i, v in enumerate(values)))


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-01-01T00:00:00Z",
        "2026-01-01 00:00:00+00:00",
        "2026-01-01T01:00+01:00",
        str(T0),
        f"{T0}.0",
        f"{T0}000",
    ],
)
def test_times_that_say_their_zone(stamp):
    series = parse_csv(lines(f"{stamp},5"))
    assert (series.start_s, series.step_s, list(series.values)) == (T0, 3600.0, [5.0])


def test_a_local_time_needs_a_zone_unless_its_column_names_one():
    with pytest.raises(BadInput, match=r"line 2.*names no time zone"):
        parse_csv(lines("2026-01-01 00:00,5"))
    assert parse_csv(lines("2026-01-01 00:00,5", header="Datetime (UTC),value")).start_s == T0
    assert parse_csv(lines("2026-01-01 01:00,5"), timezone="Europe/Berlin").start_s == T0
    with pytest.raises(BadInput, match="'Mars/Olympus' is not known"):
        parse_csv(lines("2026-01-01 00:00,5"), timezone="Mars/Olympus")


@pytest.mark.parametrize(
    ("header", "row", "value"),
    [
        ("location,timestamp,duration,value,hist", f"X,{T0},30,1,2", 2),  # measured before forecast
        ("datetime,forecast,actual,index", f"{T0},1,2,low", 2),
        ("timestamp,carbon_intensity_g_per_kwh", f"{T0},7", 7),
        ("point_time,value", f"{T0},7", 7),
        ("when,anything", f"{T0},7", None),
        ("date,anything", f"{T0},7", 7),
    ],
)
def test_columns_are_found_by_name(header, row, value):
    if value is None:
        with pytest.raises(BadInput, match="no column of when, anything is named like a time"):
            parse_csv(lines(row, header=header))
    else:
        assert parse_csv(lines(row, header=header)).values[0] == value


def test_two_candidates_are_asked_about():
    header = "Datetime (UTC),Carbon intensity (direct),Carbon intensity (Life cycle)"
    with pytest.raises(BadInput, match=r"which column is it: Carbon intensity \(direct\), Carbon"):
        parse_csv(lines("2026-01-01 00:00,1,2", header=header))
    assert parse_csv(lines("2026-01-01 00:00,1,2", header=header), column=header.split(",")[2]).values[0] == 2


def test_no_names_at_all():
    assert list(parse_csv(f"{T0},1\n{T0 + 3600},2\n").values) == [1, 2]


def test_gaps_in_words_and_missing_rows():
    text = hourly([1, "", "NaN", "null", 5]) + f"\n{T0 + 7 * 3600},8"
    np.testing.assert_equal(parse_csv(text).values, [1, *[math.nan] * 3, 5, math.nan, math.nan, 8])


def test_duplicates_are_corrections():
    assert list(parse_csv(hourly([1, 2]) + f"\n{T0},9").values) == [9, 2]


def test_any_order():
    rows = [f"{T0 + 3600 * i},{i}" for i in range(5)]
    assert list(parse_csv(lines(*rows[::-1])).values) == [0, 1, 2, 3, 4]


def test_finer_rows_and_late_rows_count_for_their_time():
    """Ten minutes of 6 and fifty of 12 are an hour of 11; a row five minutes late leaves no gap."""
    at = [0, 3600, 7200, 7800, 10800, 14700]
    series = parse_csv(lines(*(f"{T0 + t},{v}" for t, v in zip(at, [1, 2, 6, 12, 4, 5], strict=True))))
    assert series.step_s == 3600
    np.testing.assert_allclose(series.values, [1, 2, 11, 4, 5])


def test_no_row_is_lost_at_the_end():
    series = parse_csv(lines(f"{T0},1", f"{T0 + 3600},2", f"{T0 + 9600},3"))
    np.testing.assert_equal(series.values, [1, 2, math.nan, 3])


def local_rows(first, last):
    """Every half-hour of local time, as a utility prints it: without a zone."""
    moment, rows = first.astimezone(dt.timezone.utc), []
    while moment <= last.astimezone(dt.timezone.utc):
        rows.append(moment.astimezone(BERLIN).strftime("%Y-%m-%d %H:%M"))
        moment += dt.timedelta(minutes=30)
    return rows


@pytest.mark.parametrize("day", [dt.date(2026, 10, 25), dt.date(2026, 3, 29), dt.date(2026, 7, 1)])
@pytest.mark.parametrize("newest_first", [False, True])
def test_days_of_23_and_25_hours_have_no_gap_and_lose_no_row(day, newest_first):
    rows = local_rows(
        dt.datetime.combine(day, dt.time(), BERLIN), dt.datetime.combine(day, dt.time(23, 30), BERLIN)
    )
    numbered = [f"{row},{i}" for i, row in enumerate(rows)]
    series = parse_csv(lines(*numbered[:: -1 if newest_first else 1]), timezone="Europe/Berlin")
    assert series.step_s == 1800
    assert list(series.values) == list(range(len(rows)))
    assert len(rows) in (46, 48, 50)


def test_a_time_that_the_clock_skipped_is_dropped():
    rows = ["2026-03-29 01:00,1", "2026-03-29 02:00,99", "2026-03-29 03:00,3", "2026-03-29 04:00,4"]
    assert list(parse_csv(lines(*rows), timezone="Europe/Berlin").values) == [1, 3, 4]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no rows"),
        ("time,value\n", "no row has both"),
        (lines(f"{T0},wind"), "line 2: 'wind' is no number"),
        (lines(f"{T0},inf"), "'inf' is no number"),
        (lines("soon,5", f"{T0},5"), "line 2: 'soon' is no time"),
        (lines("12,5"), "'12' is no time"),
        (lines("1e300,5", f"{T0},5"), "'1e300' is no time"),
        (lines("-1e15,5"), "'-1e15' is no time"),
        (lines(f"{T0}"), "no row has both"),
        (f"time\n{T0}", "no rows of two columns"),
        (lines(f"{T0},1,2"), "Expected 2 fields in line 2, saw 3"),
        (lines("now,5"), "line 2: 'now' is no time"),
        (lines(f"{T0},"), "no row has both"),
        (hourly([1, 2]) + "\n9999-01-01T00:00Z,1", "no time"),
        (hourly([1, 2]) + "\n2199-01-01T00:00Z,1", None),
        (lines(f"{T0},1", f"{T0 + 1},1", "2199-01-01T00:00Z,1"), "is one of the years wrong"),
    ],
)
def test_what_is_wrong_is_said(text, said):
    if said is None:
        assert len(parse_csv(text)) > 1e6
        return
    with pytest.raises(BadInput, match=said):
        parse_csv(text)


def test_a_file_is_named_in_the_error(tmp_path):
    file = tmp_path / "grid.csv"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match=r"grid\.csv: cannot be read"):
        read_csv(file)
    file.write_text("\ufeff" + hourly([-999]))
    with pytest.raises(BadInput, match=r"grid\.csv: line 2: '-999' is below 0"):
        read_csv(file, minimum=0.0)


stamps = st.one_of(
    st.integers(T0, T0 + 10**6).map(str),
    st.datetimes(dt.datetime(2026, 1, 1), dt.datetime(2026, 12, 31)).map(lambda d: d.isoformat(" ")),  # noqa: DTZ001 — local on purpose
    st.text(max_size=8),
)
cells = st.one_of(st.floats(0, 2000).map(repr), st.sampled_from(["", "nan", "-", "x"]))


@pytest.mark.slow
@given(st.lists(st.tuples(stamps, cells), max_size=12))
@examples(60)
def test_any_file_gives_a_series_or_bad_input(rows):
    try:
        series = parse_csv(lines(*(f"{a},{b}" for a, b in rows)), timezone="America/New_York")
    except BadInput:
        return
    finite = series.values[np.isfinite(series.values)]
    assert len(finite) > 0
    assert finite.min() >= 0
    assert finite.max() <= 2000


@given(st.lists(st.floats(0, 1000), min_size=2, max_size=50), st.sampled_from([300, 900, 1800, 3600]))
@examples(50)
def test_regular_rows_come_back_as_they_are(values, step_s):
    text = lines(*(f"{T0 + step_s * i},{v!r}" for i, v in enumerate(values)))
    series = parse_csv(text)
    assert series.step_s == step_s
    np.testing.assert_allclose(series.values, values)
