"""Parses a metric from what a training writes: lines of its output, or a JSON file."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

from zeus_ray.records import NAN
from zeus_ray.records.read_metric import as_number, is_number, metric_entry

NUMBER_PATTERN = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf(?:inity)?)"


class MetricParser:
    """Finds ``name`` in a line of text.

    A line of JSON is read as such, nested names included. In any other, ``name=0.91``, ``name: 0.91``,
    ``'name': 0.91`` and ``'name': '0.91'`` (Transformers) count, the last one in the line, with a call around
    the number such as ``tensor(0.91)`` or without. What only ends in the name (``val_accuracy``), and counts
    (``10/100``), do not. Numbers that are not finite are NaN.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._pattern = re.compile(
            rf"(?<![\w./-]){re.escape(name)}[\"']?\s*[=:]\s*[\"']?"
            rf"(?:[A-Za-z_][\w.]*\()?({NUMBER_PATTERN})(?![\w/]|\.\d)",
            re.IGNORECASE if name.islower() else 0,
        )

    def value(self, line: str) -> float | None:
        """The metric, or None where the line has none. After a carriage return only what follows counts."""
        text = line.rstrip("\r\n").rpartition("\r")[2].strip()
        if text.startswith("{"):
            try:
                return self._of_json(json.loads(text))
            except (ValueError, RecursionError):
                pass  # not JSON: a dictionary as Python prints it, perhaps
        found = self._pattern.findall(text)
        return _finite(found[-1]) if found else None

    def values(self, text: str) -> list[float]:
        """All values in a file: JSON (an object, or a list of them), JSON lines, or lines of text."""
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError):
            complete = text[: text.rfind("\n") + 1]  # a last line may be half written
            found = [self.value(line) for line in complete.split("\n")]
        else:
            found = [self._of_json(item) for item in (whole if isinstance(whole, list) else [whole])]
        return [value for value in found if value is not None]

    def _of_json(self, item: object) -> float | None:
        entry = metric_entry(item, self.name) if isinstance(item, dict) else None
        return as_number(entry) if is_number(entry) else None


class MetricFile:
    """A file that a training writes: one object, replaced each time, or values that are appended.

    Its content at construction is of an earlier training, and ignored.
    """

    def __init__(self, path: Path, parser: MetricParser) -> None:
        self._path = path
        self._parser = parser
        self._seen: list[float] = []
        self._stamp: tuple[int, int] | None = None
        self.new_values()

    def new_values(self) -> list[float]:
        """The values written since the last call."""
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp == self._stamp:
                return []
            values = self._parser.values(self._path.read_text(errors="replace"))
        except OSError:
            return []  # not there yet, or just being replaced
        known, self._seen, self._stamp = self._seen, values, stamp
        appended = len(values) > len(known) and values[: len(known)] == known
        return values[len(known) :] if appended else values


def _finite(number: str) -> float:
    try:
        value = float(number)
    except (ValueError, OverflowError):
        return NAN
    return value if math.isfinite(value) else NAN
