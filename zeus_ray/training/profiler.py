"""Just-in-time profiling: power limits are probed while training goes on (Zeus, section 4.2).

Each limit is set, left to settle, then measured for a window, in the order given. A window goes on across
the end of an epoch: evaluation between two epochs is cut out of it, so that short epochs finish
their profile too. Every sample trained meanwhile counts for the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from zeus_ray.errors import BadInput, DeviceError, DeviceLost
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.training.gpu_group import GpuGroup
from zeus_ray.training.run_clock import RunClock

EARLY = 0.05
"""A window may end this much too early, as a share of it, where its time is reckoned from steps."""


@dataclass(frozen=True)
class ProfilingWindow:
    """What was measured at one limit: J over all boards, s, and the samples trained in it."""

    power_limit_w: float
    energy_j: float = 0.0
    time_s: float = 0.0
    samples: int = 0

    def plus(self, start: Reading, end: Reading, samples: int) -> ProfilingWindow:
        """This window with one more stretch of training."""
        return ProfilingWindow(
            self.power_limit_w,
            self.energy_j + end.energy_j - start.energy_j,
            self.time_s + end.time_s - start.time_s,
            self.samples + samples,
        )


class Profiler:
    """Walks through ``limits_w``. ``resume`` and ``pause`` mark training loops, ``step`` a full step in one.

    ``window_s``: seconds measured per limit (the paper's 5). ``settle_s``: seconds discarded after
    a change of limit, for the board to follow. A board that refuses a limit ends the profile with
    the windows it has; ``trouble`` says why.
    """

    def __init__(
        self, boards: GpuGroup, pace: RunClock, limits_w: Iterable[float], *, window_s: float, settle_s: float
    ) -> None:
        if window_s <= 0 or settle_s < 0:
            raise BadInput(
                f"window_s is {window_s} and settle_s {settle_s}; needed: window_s > 0, settle_s >= 0"
            )
        self.windows: list[ProfilingWindow] = []
        self.trouble = ""
        self._boards = boards
        self._pace = pace
        self._waiting = list(dict.fromkeys(limits_w))
        self._window_s = window_s
        self._settle_s = settle_s
        self._window: ProfilingWindow | None = None
        self._settling_s = 0.0
        self._start: Reading | None = None
        self._start_samples = 0
        self._until_s = 0.0

    @property
    def done(self) -> bool:
        """Whether there is nothing left to probe."""
        return self._window is None and not self._waiting

    def resume(self) -> None:
        """Training (re)starts."""
        if self._window is None:
            self._next_limit()
        if self._window is not None:
            self._begin(self._pace.edge())

    def step(self) -> None:
        """A full step was trained. Cheap unless a window ends here."""
        if self._start is None or self._pace.now_s() < self._until_s:
            return
        end = self._pace.edge()
        if end.time_s < self._until_s - EARLY * self._window_s:
            return  # steps became faster than reckoned: the next look is better aimed
        if self._settling_s > 0:
            self._settling_s = 0.0
            self._begin(end)
            return
        self._close(end)
        self._finish_window()

    def pause(self) -> None:
        """Training stops for a while: an epoch's end, an evaluation, a ragged batch."""
        if self._start is None:
            return
        end = self._pace.edge()
        if self._settling_s > 0:
            self._settling_s = max(0.0, self._settling_s - (end.time_s - self._start.time_s))
            self._start = None
            return
        self._close(end)

    def interval(self) -> None:
        """What was trained since the last call was one whole window; the first call only begins."""
        if self._start is None:
            self.resume()
            return
        self._settling_s = 0.0
        self._close(self._pace.edge_by_wall())
        self._finish_window()

    def _begin(self, start: Reading) -> None:
        """A stretch begins: of settling, or of the window."""
        assert self._window is not None  # noqa: S101 — for the type checker: every caller has set one
        left_s = self._settling_s or self._window_s - self._window.time_s
        self._start, self._start_samples = start, self._pace.samples
        self._until_s = start.time_s + left_s

    def _close(self, end: Reading) -> None:
        """The stretch ends and counts."""
        if self._window is not None and self._start is not None:
            self._window = self._window.plus(self._start, end, self._pace.samples - self._start_samples)
        self._start = None

    def _finish_window(self) -> None:
        if self._window is not None:
            self.windows.append(self._window)
        self._next_limit()
        if self._window is not None:
            self._begin(self._pace.edge())

    def _next_limit(self) -> None:
        """Set the next limit; a refusal ends the profile, a lost board ends the run."""
        self._window = None
        if not self._waiting:
            return
        limit_w = self._waiting.pop(0)
        try:
            reading = self._boards.set_limit(limit_w)
        except DeviceLost:
            raise
        except DeviceError as error:
            self.trouble = str(error)
            self._waiting.clear()
            return
        self._pace.limit_changed()
        self._window = ProfilingWindow(min(limit_w, reading.power_limit_w))
        self._settling_s = self._settle_s
