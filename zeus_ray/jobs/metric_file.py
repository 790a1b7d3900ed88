"""A file of JSON or text lines that a training writes its metric to."""

from __future__ import annotations

from pathlib import Path

from zeus_ray.jobs.metric_parser import MetricParser


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
