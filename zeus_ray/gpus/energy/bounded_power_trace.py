"""The power of a GPU over time, bounded in memory however long it runs."""

from __future__ import annotations

from zeus_ray.errors import BadInput

TracePoint = tuple[float, float, float]
"""(at_s, power_w, enforced_limit_w)"""


class PowerTrace:
    """Keeps at most ``size`` points: when full, every other one is dropped and the step doubles."""

    def __init__(self, size: int = 4096) -> None:
        if size < 2:
            raise BadInput(f"a power trace of {size} points; at least 2 are needed")
        self._size = size
        self._points: list[TracePoint] = []
        self._every = 1
        self._skipped = 0

    def add(self, point: TracePoint) -> None:
        """Append a point, or skip it where the step has grown."""
        self._skipped += 1
        if self._skipped < self._every:
            return
        self._skipped = 0
        self._points.append(point)
        if len(self._points) > self._size:
            self._points = self._points[::2]
            self._every *= 2

    def since(self, start_s: float) -> list[TracePoint]:
        """The points from ``start_s`` on, their times counted from there."""
        return [
            (at_s - start_s, power_w, limit_w) for at_s, power_w, limit_w in self._points if at_s >= start_s
        ]
