"""Times as they are written on the command line: 10s, 5m, 1h; 2026-12-01T08:00."""

from __future__ import annotations

import datetime as dt
import re

from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import parse_iso_time

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


def seconds_of(text: str, option: str) -> float:
    """The seconds that ``text`` means. Raises BadInput, which names ``option``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text)
    if found is None:
        raise BadInput(f"{option} is {text!r}; allowed: a time such as 10s, 5m, 1h")
    return float(found[1]) * SECONDS[found[2]]


def local_date_and_time(text: str, option: str) -> dt.datetime:
    """A date and time, in the timezone of this machine unless ``text`` has one. Raises BadInput."""
    try:
        return parse_iso_time(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise BadInput(f"{option} is {text!r}; write a date and time such as 2026-12-01T08:00") from error
