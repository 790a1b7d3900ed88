"""A CSV file of carbon intensity or price becomes a :class:`Series`.

pandas reads the file and the times. These rules are applied here, because pandas would guess, convert
silently, or fail without naming the line:

1. Columns: the one that is asked for, else the one whose name says what it is; two candidates are an error.
2. Times: ISO 8601, or seconds or milliseconds since 1970. Times without a zone need ``timezone``, unless the
   column's name says UTC.
3. When clocks go back, the second of two equal local times is the later one (pandas infers that only if no
   row is missing and the oldest comes first). A local time that the clock skipped is left out.
4. Values: an empty cell, "NaN", "null", "NA" or "-" is a gap, never zero. Anything else that is not a number
   is an error.
5. Regular intervals: see :mod:`zeus_ray.carbon.rows_to_series`.

Importing pandas takes half a second: import this module only where there is a file to read.
"""

from __future__ import annotations

import math
import re
import zoneinfo
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from zeus_ray.carbon.rows_to_series import resample
from zeus_ray.carbon.series import EARLIEST_S, LATEST_S, Array, Series
from zeus_ray.errors import BadInput

TIME_COLUMNS = ("timestamp", "datetime", "point_time", "time", "date", "from", "start")
VALUE_COLUMNS = ("actual", "hist", "carbon_intensity", "intensity", "moer", "price", "value")
"""Parts of a column's name, best first: measured ("actual") before what may be a forecast ("value")."""
GAPS = ("", "nan", "null", "none", "na", "n/a", "-")
FIRST_IN_MS = 1e11
"""Numbers from here on are milliseconds: this is March 1973 in milliseconds, and the year 5138 in seconds."""
MAX_BYTES = 256 << 20


def _check_size(path: Path) -> None:
    """Refuse what is not a file (a device or a pipe may never end) and what is too large to be a signal."""
    if path.exists() and not path.is_file():
        raise BadInput("cannot be read as a CSV: it is not a file")
    if path.exists() and path.stat().st_size > MAX_BYTES:
        raise BadInput(f"is larger than {MAX_BYTES >> 20} MiB; allowed: at most that")


def read_csv(
    source: Path | TextIO,
    *,
    column: str | None = None,
    timezone: str | None = None,
    minimum: float = -math.inf,
) -> Series:
    """Read a file by the rules above.

    Args:
        source: comma-separated text in UTF-8, with or without a line of column names.
        column: the column of values; None: found by its name.
        timezone: the zone of times that state none, such as "Europe/Berlin".
        minimum: a smaller value is an error (carbon intensity is never negative; a price may be).

    Raises:
        BadInput: the file, the line, what it contains and what is allowed.
    """
    try:
        if isinstance(source, Path):
            _check_size(source)
        rows = _read_cells(source)
        names = [] if rows.iloc[0, 0][:1].isdigit() else rows.iloc[0].tolist()
        time_index, value_index = _find_columns(names, column)
        if timezone is None and names and "utc" in _plain(names[time_index]).split("_"):
            timezone = "UTC"
        times, values = (rows.iloc[1 if names else 0 :, index] for index in (time_index, value_index))
        return resample(_times_s(times, timezone), _values(values, minimum))
    except BadInput as error:
        raise BadInput(f"{source}: {error}" if isinstance(source, Path) else str(error)) from error


def _read_cells(source: Path | TextIO) -> pd.DataFrame:
    """All cells as stripped text, two columns at least, without empty lines; the index is the line number."""
    try:
        cells = pd.read_csv(source, header=None, dtype=str, keep_default_na=False, skip_blank_lines=False)
    except pd.errors.EmptyDataError:
        cells = pd.DataFrame()
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot be read as a CSV: {error}") from error
    cells = cells.apply(lambda column: column.str.strip())
    cells.index += 1
    cells = cells[(cells != "").any(axis=1)]
    if cells.shape[0] < 1 or cells.shape[1] < 2:
        raise BadInput("there are no rows of two columns, a time and a value")
    return cells


def _find_columns(names: list[str], column: str | None) -> tuple[int, int]:
    """Index of the column of times, and of the column of values."""
    if not names:
        if column is not None:
            raise BadInput(f"column {column!r} was asked for, but the first line has no column names")
        return 0, 1
    if column is not None and column not in names:
        raise BadInput(f"there is no column {column!r}; there are {', '.join(names)}")
    times = _named_like(names, TIME_COLUMNS)
    if not times:
        raise BadInput(f"no column of {', '.join(names)} is named like a time ({', '.join(TIME_COLUMNS)})")
    others = [name for index, name in enumerate(names) if index != times[0]]
    values = [column] if column else [others[i] for i in _named_like(others, VALUE_COLUMNS)] or others
    if len(values) != 1:
        raise BadInput(f"which column is it: {', '.join(values)}? Name it (column=)")
    return times[0], names.index(values[0])


def _named_like(names: list[str], words: Sequence[str]) -> list[int]:
    """The columns whose name is the first word that any has as its name or in it."""
    plain = [_plain(name) for name in names]
    for word in words:
        exact = [index for index, name in enumerate(plain) if name == word]
        if found := exact or [index for index, name in enumerate(plain) if word in name]:
            return found
    return []


def _plain(name: str) -> str:
    """A column's name in lower case, its words separated by underscores."""
    return re.sub(r"\W+", "_", name.lower()).strip("_")


def _values(cells: pd.Series[str], minimum: float) -> Array:
    """Numbers; NaN for a gap."""
    gaps = cells.str.lower().isin(GAPS)
    numbers = pd.to_numeric(cells.where(~gaps), errors="coerce")
    _refuse(cells, ~gaps & ~np.isfinite(numbers), "is no number; leave a gap empty")
    _refuse(cells, numbers < minimum, f"is below {minimum:g}, which cannot be; leave a gap empty")
    return np.asarray(numbers, dtype=np.float64)


def _times_s(cells: pd.Series[str], timezone: str | None) -> Array:
    """Seconds since 1970; NaN for a local time that a clock change skipped."""
    numbers = pd.to_numeric(cells, errors="coerce")
    # Only dates of 1900 to 2199: pandas reads "now", too, and may overflow at later ones.
    dates = cells.where(cells.str.match(r"(?:19|2[01])\d\d-?\d\d") & numbers.isna())
    moments = pd.to_datetime(dates, format="ISO8601", utc=True, errors="coerce")
    times_s = numbers.where(numbers < FIRST_IN_MS, numbers / 1000).fillna(_since_1970_s(moments))
    wrong = ~times_s.between(EARLIEST_S, LATEST_S)
    _refuse(cells, wrong, "is no time; ISO 8601 or seconds since 1970 are, from 1973 to 2199")
    local = numbers.isna() & ~cells.str.contains(r"[T ].*(?:[Zz]|[+-]\d\d(?::?\d\d)?)$")
    if timezone is None:
        _refuse(cells, local, "names no time zone; say timezone='UTC' or 'Europe/Berlin'")
    elif local.any():
        times_s[local] = _localized_s(moments[local].dt.tz_localize(None), timezone)
    return np.asarray(times_s, dtype=np.float64)


def _localized_s(local: pd.Series[Any], timezone: str) -> Array:
    """Seconds since 1970 of local times by rule 3; NaN for a time that the clock skipped."""
    try:
        zone = zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadInput(f"time zone {timezone!r} is not known; allowed: 'UTC', 'Europe/Berlin', …") from error
    first = np.ones(len(local), dtype=bool)  # of two equal times
    times_s, second_s = (
        np.array(_since_1970_s(local.dt.tz_localize(zone, ambiguous=ambiguous, nonexistent="NaT")))
        for ambiguous in (first, ~first)
    )
    oldest_first, previous_s = 1 if local.iloc[0] <= local.iloc[-1] else -1, -math.inf
    for i in range(len(local))[::oldest_first]:
        if times_s[i] <= previous_s < second_s[i]:
            times_s[i] = second_s[i]
        previous_s = times_s[i]
    return times_s


def _since_1970_s(moments: pd.Series[Any]) -> pd.Series[float]:
    return (moments - pd.Timestamp(0, tz="UTC")).dt.total_seconds()


def _refuse(cells: pd.Series[str], wrong: pd.Series[bool], why: str) -> None:
    """Raise BadInput that names the first wrong line, if there is one."""
    if wrong.any():
        line = cells.index[wrong][0]
        raise BadInput(f"line {line}: {cells[line]!r} {why}")
