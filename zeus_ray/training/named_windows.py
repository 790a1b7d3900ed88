"""Energy and time of named parts of a run, such as "forward": nested, overlapping, repeated."""

from __future__ import annotations

from collections.abc import Callable

from zeus_ray.errors import BadInput
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.records.window_usage import WindowUsage, windows_to_json


class NamedWindows:
    """The windows of one run. Windows of different names may be nested or overlap; each counts all it spans.

    Args:
        read: reads energy and time.
        finish: waits until the GPUs have done the work that is queued.

    Attributes:
        usage: what each window has used until now, by name.
    """

    def __init__(self, read: Callable[[], Reading], finish: Callable[[], None]) -> None:
        self.usage: dict[str, WindowUsage] = {}
        self._read = read
        self._finish = finish
        self._open: dict[str, Reading] = {}

    def begin(self, name: str, *, synchronize: bool) -> None:
        """Open a window. Raises BadInput where it is open, or has no name."""
        if not isinstance(name, str) or not name:
            raise BadInput(f"the window's name is {name!r}; allowed: a text that is not empty")
        if name in self._open:
            raise BadInput(f"window {name!r} is open: end it before it begins again, or use another name")
        if synchronize:
            self._finish()
        self._open[name] = self._read()

    def end(self, name: str, *, synchronize: bool) -> WindowUsage:
        """Close a window, and return what it used this time. Raises BadInput where it is not open."""
        if name not in self._open:
            known = ", ".join(map(repr, self._open)) or "none"
            raise BadInput(f"window {name!r} has not begun; open: {known}")
        if synchronize:
            self._finish()
        now, begun = self._read(), self._open.pop(name)
        used = WindowUsage(energy_j=now.energy_j - begun.energy_j, time_s=now.time_s - begun.time_s, count=1)
        before = self.usage.get(name, WindowUsage())
        self.usage[name] = WindowUsage(
            energy_j=before.energy_j + used.energy_j,
            time_s=before.time_s + used.time_s,
            count=before.count + 1,
        )
        return used

    def to_json(self) -> str:
        """As a result carries them; "" before one has ended."""
        return windows_to_json(self.usage, self._read().energy_j) if self.usage else ""
