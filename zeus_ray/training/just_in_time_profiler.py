"""Just-in-time profiling: power limits are probed during training (Zeus, section 4.2).

Each limit is set, given time to settle, then measured for a window, in the order given. A window continues
across the end of an epoch, without the evaluation between two epochs, so that a run of short epochs completes
its profile too. The first steps of a run, which compile and warm up, are in no window. Every sample trained
meanwhile counts for the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from zeus_ray.errors import BadInput, DeviceError, DeviceLost
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.training.leased_gpu_group import GpuGroup
from zeus_ray.training.samples_and_time import RunClock

EARLY = 0.05
"""A window may end too early by this share of it, where its time is estimated from steps."""

WARM_UP_STEPS = 5
"""The first steps of a run: ``torch.compile``, autotuning and full caches make them slow."""


@dataclass(frozen=True)
class ProfilingWindow:
    """What was measured at one limit: energy (J) over all GPUs, time (s), and the samples trained."""

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
    """Measures a window at each limit. ``resume`` and ``pause`` enclose training, ``step`` is a whole batch.

    Args:
        group: the GPUs.
        clock: the progress of the run.
        limits_w: the limits to measure (W per GPU).
        window_s: seconds measured per limit (5 in the paper).
        settle_s: seconds discarded after a change of limit, until the GPU follows it.

    Attributes:
        windows: the complete ones.
        refusal: why a GPU refused a limit, which ends the profile early; "" if none did.

    Raises:
        BadInput: a window or a settling time that is too short.
    """

    def __init__(
        self,
        group: GpuGroup,
        clock: RunClock,
        limits_w: Iterable[float],
        *,
        window_s: float,
        settle_s: float,
    ) -> None:
        if window_s <= 0 or settle_s < 0:
            raise BadInput(
                f"window_s is {window_s} and settle_s {settle_s}; allowed: window_s > 0, settle_s >= 0"
            )
        self.windows: list[ProfilingWindow] = []
        self.refusal = ""
        self._group = group
        self._clock = clock
        self._waiting = list(dict.fromkeys(limits_w))
        self._window_s = window_s
        self._settle_s = settle_s
        self._window: ProfilingWindow | None = None
        self._settling_s = 0.0
        self._start: Reading | None = None
        self._start_samples = 0
        self._until_s = 0.0
        self._warm_up_left = WARM_UP_STEPS

    @property
    def done(self) -> bool:
        """Whether there is nothing left to measure."""
        return self._window is None and not self._waiting

    @property
    def left(self) -> int:
        """How many limits are not measured yet."""
        return len(self._waiting) + (self._window is not None)

    def thin_out(self, most: int) -> bool:
        """Keep at most so many of the waiting limits, evenly spread. Returns whether any was left out."""
        waiting, last = self._waiting, len(self._waiting) - 1
        if last < most:
            return False
        self._waiting = [waiting[round(i * last / (most - 1))] for i in range(most)]
        return True

    def resume(self) -> None:
        """Training starts, or continues after a pause."""
        if self._window is None:
            self._next_limit()
        if self._window is not None:
            self._begin(self._clock.edge())

    def step(self) -> None:
        """A whole batch was trained. Cheap unless a window ends here."""
        if self._start is None:
            return
        if self._warm_up_left:
            self._warm_up_left -= 1
            if not self._warm_up_left:
                self._begin(self._clock.edge())
            return
        if self._clock.now_s() < self._until_s:
            return
        end = self._clock.edge()
        if end.time_s < self._until_s - EARLY * self._window_s:
            return  # steps became faster than estimated; the next estimate is better
        if self._settling_s > 0:
            self._settling_s = 0.0
            self._begin(end)
            return
        self._close(end)
        self._finish_window()

    def pause(self) -> None:
        """Training pauses: the end of an epoch, an evaluation, a batch that is not full."""
        if self._start is None:
            return
        end = self._clock.edge()
        if self._warm_up_left:
            self._start = None
            return
        if self._settling_s > 0:
            self._settling_s = max(0.0, self._settling_s - (end.time_s - self._start.time_s))
            self._start = None
            return
        self._close(end)

    def drop(self) -> None:
        """Training pauses, and no reading can be taken: what was measured since the last one is left out."""
        self._start = None

    def interval(self) -> None:
        """What was trained since the last call is one whole window; the first call only begins one."""
        if self._start is None:
            self.resume()
            return
        self._settling_s, self._warm_up_left = 0.0, 0
        self._close(self._clock.edge_by_wall())
        self._finish_window()

    def _begin(self, start: Reading) -> None:
        """A stretch begins: of settling, or of the window."""
        assert self._window is not None  # noqa: S101 — for the type checker: every caller has set one
        left_s = self._settling_s or self._window_s - self._window.time_s
        self._start, self._start_samples = start, self._clock.samples
        self._until_s = start.time_s + left_s

    def _close(self, end: Reading) -> None:
        """The stretch ends and counts."""
        if end.limit_changed_by_others or math.isnan(end.energy_j):
            self.refusal = "someone else has set the power limit: what is measured since then does not count"
            if math.isnan(end.energy_j):
                self.refusal = "the GPU's driver does not answer: there is no more to profile"
            self._window, self._waiting = None, []
        elif self._window is not None and self._start is not None:
            self._window = self._window.plus(self._start, end, self._clock.samples - self._start_samples)
        self._start = None

    def _finish_window(self) -> None:
        if self._window is not None:
            self.windows.append(self._window)
        self._next_limit()
        if self._window is not None:
            self._begin(self._clock.edge())

    def _next_limit(self) -> None:
        """Set the next limit. A refusal ends the profile, a lost GPU the run."""
        self._window = None
        if not self._waiting:
            return
        limit_w = self._waiting.pop(0)
        try:
            reading = self._group.set_limit(limit_w)
        except DeviceLost:
            raise
        except DeviceError as error:
            self.refusal = str(error)
            self._waiting.clear()
            return
        self._clock.limit_changed()
        self._window = ProfilingWindow(min(limit_w, reading.power_limit_w))
        self._settling_s = self._settle_s
