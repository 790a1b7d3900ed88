"""Times as they are written on the command line: 10s, 5m, 1h."""

from __future__ import annotations

import re

from zeus_ray.errors import BadInput

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


def seconds_of(text: str, option: str) -> float:
    """The seconds that ``text`` means. Raises BadInput, which names ``option``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text)
    if found is None:
        raise BadInput(f"{option} is {text!r}; allowed: a time such as 10s, 5m, 1h")
    return float(found[1]) * SECONDS[found[2]]
