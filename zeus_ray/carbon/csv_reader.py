"""A CSV of intensity or price becomes a :class:`Series`: times understood, rows put on a regular grid.

Rules, in the order they are applied:

1. Column names: given, or the one that is named like what it is; two candidates are an error.
2. Times: ISO 8601 or seconds (or milliseconds) since 1970. Local times need ``timezone``, unless the
   column's name says UTC. When clocks go back, the second of two equal times is the later one; a time
   that the clock skipped is dropped.
3. Two rows of one time: the later row corrects the earlier.
4. Empty, "NaN", "null", "NA", "-" is a gap. Anything else that is no number is an error.
5. The step is the commonest distance of two rows. A row holds for one step at most, so a missing row
   is a gap. An interval is the mean over time of the rows in it, known for half of it at least.
"""

from __future__ import annotations

import csv
import datetime as dt
import math
import re
import zoneinfo
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from zeus_ray.carbon.series import Array, Series
from zeus_ray.errors import BadInput
from zeus_ray.units import parse_iso_time

TIME_NAMES = ("timestamp", "datetime", "point_time", "time", "date", "from", "start")
VALUE_NAMES = ("actual", "hist", "carbon_intensity", "carbonintensity", "intensity", "moer", "price", "value")
"""Words in a column's name, best first: what was measured before what was forecast ("value")."""
GAPS = {"", "nan", "null", "none", "na", "n/a", "-"}
FIRST_S, LAST_S = 1e8, 7.26e9
"""The years 1973 to 2199: what is outside is no time of a grid."""
MOST_BYTES = 256 << 20
MOST_INTERVALS = 5_000_000
"""Nine years of minutes: more is a wrong year in one row."""


def read_csv(
    path: Path, *, column: str | None = None, timezone: str | None = None, lowest: float = -math.inf
) -> Series:
    """Read a file; see the rules above.

    Args:
        path: comma-separated text, UTF-8, with or without a line of column names.
        column: the column of values; None: found by its name.
        timezone: of times that name none, such as "Europe/Berlin".
        lowest: a smaller value is an error (intensity is never negative; a price may be).

    Raises:
        BadInput: naming file, line, what is there and what is allowed.
    """
    try:
        if not path.is_file():  # a device or a pipe may never end
            raise BadInput(f"{path} cannot be read as a CSV: it is no file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise BadInput(f"{path} is larger than {MOST_BYTES >> 20} MiB, which no signal is")
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as a CSV: {error}") from error
    try:
        return parse_csv(text, column=column, timezone=timezone, lowest=lowest)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


def parse_csv(
    text: str, *, column: str | None = None, timezone: str | None = None, lowest: float = -math.inf
) -> Series:
    """As :func:`read_csv`, from the text itself."""
    rows = _rows(text)
    if not rows:
        raise BadInput("there are no rows")
    header, rows = _split_header(rows)
    time_index, value_index, is_utc = _columns(header, column)
    zone = _zone("UTC" if is_utc and timezone is None else timezone)
    needed = max(time_index, value_index)
    short = next((number for number, cells in rows if len(cells) <= needed), None)
    if short is not None:
        raise BadInput(f"line {short} has too few columns; {needed + 1} are needed")
    times = _times([(number, cells[time_index].strip()) for number, cells in rows], zone)
    values = [_value(number, cells[value_index].strip(), lowest) for number, cells in rows]
    return on_grid(times, values)


def on_grid(times_s: Sequence[float | None], values: Sequence[float]) -> Series:
    """Rows at any times (s; None: never was) become regular intervals: rules 3 and 5."""
    latest = {time_s: value for time_s, value in zip(times_s, values, strict=True) if time_s is not None}
    if not any(math.isfinite(value) for value in latest.values()):
        raise BadInput("no row has both a time and a value")
    times = np.array(sorted(latest))
    known = np.array([latest[time_s] for time_s in times])
    step_s = _commonest(np.diff(times))
    # As many intervals as are known for half: a row that begins late in one is known in the next.
    count = math.ceil((times[-1] - times[0]) / step_s + 0.5 - 1e-9)
    if count > MOST_INTERVALS:
        first, last = (
            dt.datetime.fromtimestamp(t, dt.timezone.utc).isoformat() for t in (times[0], times[-1])
        )
        raise BadInput(f"rows every {step_s:g} s from {first} to {last}: is one of the years wrong?")
    return Series(float(times[0]), step_s, _means(times, known, step_s, count))


def _means(
    times: Array,
    values: Array,
    step_s: float,
    count: int,
) -> Array:
    """Mean over time of piecewise constant rows, per interval. A row touches two intervals at most."""
    lengths = np.minimum(np.diff(times, append=times[-1] + step_s), step_s)
    places = (times - times[0]) / step_s
    index = np.minimum(np.floor(places + 1e-9).astype(int), count - 1)
    inside = np.minimum(lengths, np.maximum(0.0, (index + 1 - places) * step_s))
    total, weight = np.zeros(count + 1), np.zeros(count + 1)
    real = np.isfinite(values)
    for where, part in ((index, inside), (index + 1, lengths - inside)):
        np.add.at(total, where[real], (part * np.where(real, values, 0.0))[real])
        np.add.at(weight, where[real], part[real])
    enough = weight[:count] >= 0.5 * step_s
    return np.where(enough, total[:count] / np.where(enough, weight[:count], 1.0), math.nan)


def _commonest(distances: Array) -> float:
    """The commonest distance (s), of equally common ones the smallest; one row alone is an hour."""
    if not len(distances):
        return 3600.0
    lengths, counts = np.unique(np.round(distances, 3), return_counts=True)
    return float(max(lengths[np.argmax(counts)], 1.0))


# --- columns -------------------------------------------------------------------------------------


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """(line number, cells) of every line that holds something."""
    reader = csv.reader(text.splitlines())
    try:
        return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise BadInput(f"line {reader.line_num} is not CSV: {error}") from error


Rows = list[tuple[int, list[str]]]


def _split_header(rows: Rows) -> tuple[list[str], Rows]:
    """Column names, or [] where the first row is data already."""
    first = [cell.strip() for cell in rows[0][1]]
    if _time(first[0]) is not None:
        return [], rows
    if len(rows) == 1:
        raise BadInput(f"there are column names {first}, and no rows")
    return first, rows[1:]


def _columns(header: list[str], column: str | None) -> tuple[int, int, bool]:
    """Where time and value are, and whether the time's column says that it is UTC."""
    if not header:
        if column is not None and column != "1":
            raise BadInput(f"column {column!r} was asked for, but the first line has no column names")
        return 0, 1, False
    plain = [re.sub(r"\W+", "_", name.lower()).strip("_") for name in header]
    time_index = _find(header, plain, TIME_NAMES, "time", taken=-1)
    if column is None:
        value_index = _find(header, plain, VALUE_NAMES, "value", taken=time_index)
    elif column in header:
        value_index = header.index(column)
    else:
        raise BadInput(f"there is no column {column!r}; there are {', '.join(header)}")
    return time_index, value_index, "utc" in plain[time_index].split("_")


def _find(header: list[str], plain: list[str], words: Iterable[str], what: str, *, taken: int) -> int:
    for word in words:
        exact = [i for i, name in enumerate(plain) if name == word and i != taken]
        named = exact or [i for i, name in enumerate(plain) if word in name and i != taken]
        if what == "time":
            named = named[:1]
        if len(named) > 1:
            raise BadInput(f"which column is it: {', '.join(header[i] for i in named)}? Name it (column=)")
        if named:
            return named[0]
    rest = [i for i in range(len(header)) if i != taken]
    if what == "value" and len(rest) == 1:
        return rest[0]
    raise BadInput(f"no column of {', '.join(header)} is named like a {what} ({', '.join(words)})")


# --- cells ---------------------------------------------------------------------------------------


def _value(number: int, cell: str, lowest: float) -> float:
    if cell.lower() in GAPS:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise BadInput(f"line {number}: {cell!r} is no number; leave a gap empty")
    if value < lowest:
        raise BadInput(f"line {number}: {cell} is below {lowest:g}, which cannot be; leave a gap empty")
    return value


def _time(cell: str) -> float | dt.datetime | None:
    """Seconds since 1970, a local time whose zone is not known yet, or None: no time."""
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        # 1e8 s is 1973 and 1e11 ms too: nothing between is a date that anybody means.
        time_s = number / 1000 if number >= 1e11 else number
        return time_s if FIRST_S <= time_s < LAST_S else None
    try:
        moment = parse_iso_time(cell)
    except ValueError:
        return None
    if not 1970 < moment.year < 2200:
        return None
    return moment if moment.tzinfo is None else moment.timestamp()


def _times(cells: list[tuple[int, str]], zone: dt.tzinfo | None) -> list[float | None]:
    """Seconds since 1970 for every row; None for a local time that a clock change skipped."""
    moments = []
    for number, cell in cells:
        moment = _time(cell)
        if moment is None:
            raise BadInput(f"line {number}: {cell!r} is no time; ISO 8601 or seconds since 1970 are")
        if isinstance(moment, dt.datetime) and zone is None:
            raise BadInput(
                f"line {number}: {cell!r} names no time zone; say timezone='UTC' or 'Europe/Berlin'"
            )
        moments.append(moment)
    backwards = len(moments) > 1 and _seconds(moments[0], zone, -math.inf) > _seconds(
        moments[-1], zone, -math.inf
    )
    result: list[float | None] = []
    previous_s = -math.inf
    for moment in reversed(moments) if backwards else moments:
        exists = not isinstance(moment, dt.datetime) or _exists(moment, zone)
        time_s = _seconds(moment, zone, previous_s)
        result.append(time_s if exists else None)
        previous_s = time_s
    return result[::-1] if backwards else result


def _seconds(moment: float | dt.datetime, zone: dt.tzinfo | None, previous_s: float) -> float:
    """Of a local time that happens twice, the one after the row before."""
    if not isinstance(moment, dt.datetime):
        return moment
    first = moment.replace(tzinfo=zone, fold=0).timestamp()
    second = moment.replace(tzinfo=zone, fold=1).timestamp()
    return second if second > first and first <= previous_s < second else first


def _exists(moment: dt.datetime, zone: dt.tzinfo | None) -> bool:
    there = moment.replace(tzinfo=zone)
    return there.astimezone(dt.timezone.utc).astimezone(zone).replace(tzinfo=None, fold=0) == moment.replace(
        fold=0
    )


def _zone(name: str | None) -> dt.tzinfo | None:
    try:
        return None if name is None else zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadInput(
            f"time zone {name!r} is not known; allowed: IANA names such as 'UTC', 'Europe/Berlin'"
        ) from error
