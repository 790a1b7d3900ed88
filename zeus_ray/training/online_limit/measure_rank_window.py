"""One window as one process measures it: settling, then steps, timed here, with the energy of its own GPUs.

Nothing in this file waits for another process. Where the framework queues work on the GPU and runs ahead of
it, single steps cannot be timed by the clock of the processor: then all steps of about a second are one lap,
at whose end the process waits for the GPU.
"""

from __future__ import annotations

import math
import time

from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.training.frameworks import runs_ahead
from zeus_ray.training.leased_gpu_group import GpuGroup
from zeus_ray.training.online_limit.steps_to_rank_window import RankWindow, StepRecorder
from zeus_ray.training.samples_and_time import RunClock

MARK_EVERY_S = 1.0
"""How often the energy counter is read within a window, so that a slow step spoils only a part of it."""
LONG_PAUSE_S = 1.0
"""A pause that shows in the power reading afterwards, which lags by up to a second."""


class WindowMeasurement:
    """Measures one window after another; ``step`` takes about a microsecond, except about once a second.

    Args:
        group: the run's GPUs, of which ``group.mine`` are read.
        clock: the run's progress.
        units_per_step: work of a whole step, where it is always the same.
        stage: the pipeline stage of this process.
    """

    def __init__(self, group: GpuGroup, clock: RunClock, *, units_per_step: float, stage: int = 0) -> None:
        self._group = group
        self._clock = clock
        self._units_per_step = units_per_step
        self._recorder = StepRecorder(units_per_step, stage)
        self._virtual = group.virtual
        self._began_s: float | None = None
        self._paused_at: tuple[float, float] | None = None
        self._in_step_s = 0.0
        self._pauses_j = 0.0
        self._busy_s = math.nan
        self._steps, self._left, self._settling = 0, 0, False
        self._settled = (0.0, 0.0)
        self._lap: tuple[int, float] | None = None
        self._every_s = MARK_EVERY_S
        self._mark_at_s = math.inf

    @property
    def training(self) -> bool:
        """Whether steps count now; not before the first window, nor in a pause."""
        return self._began_s is not None

    def begin(self, settle_steps: int, steps: int, *, single_steps: bool = False) -> None:
        """A window of ``steps`` begins, after ``settle_steps`` that are left out.

        Args:
            settle_steps: steps until the GPU follows a new limit.
            steps: steps that are measured.
            single_steps: time every step alone, also where that means to wait for the GPU.
        """
        self._steps, self._settled = steps, (0.0, 0.0)
        self._settling = settle_steps > 0
        self._every_s = 0.0 if single_steps else MARK_EVERY_S
        self._begin_part(settle_steps or steps)

    def _begin_part(self, steps: int) -> None:
        self._left = steps
        self._clock.finish()
        self._pauses_j, self._in_step_s, self._busy_s = 0.0, 0.0, math.nan
        self._recorder.begin(self._energy_j())
        self._lap = (0, 0.0) if runs_ahead() else None
        self._went_on()

    def _went_on(self) -> None:
        self._began_s = self._now() - self._in_step_s
        self._mark_at_s = math.inf if self._virtual else self._began_s + self._every_s

    def step(self, units: float | None = None) -> bool:
        """A step is done, of ``units`` of work where that differs. Returns whether the window is complete."""
        began_s = self._began_s
        if began_s is None:
            return False
        now = self._clock.now_s() if self._virtual else time.perf_counter()
        self._left -= 1
        if self._lap is not None:
            steps, done = self._lap
            self._lap = steps + 1, done + (self._units_per_step if units is None else units)
        else:
            self._began_s = now
            if units is None:
                self._recorder.step(now - began_s)
            else:
                self._recorder.sized_step(now - began_s, units)
        if self._left > 0:
            if now >= self._mark_at_s:
                self._mark()
                self._mark_at_s = now + self._every_s
            return False
        if not self._settling:
            return True
        self._close_lap()
        self._settling, self._settled = False, self._recorder.so_far
        self._begin_part(self._steps)
        return False

    def computed(self, seconds: float) -> None:
        """Of the present step, this process has computed for so long; for the rest it waits for others."""
        self._busy_s = seconds if math.isnan(self._busy_s) else self._busy_s + seconds

    def pause(self) -> None:
        """Training pauses, between two steps or within one; does nothing in a pause."""
        if self._began_s is not None:
            self._close_lap()
            self._clock.finish()
            energy_j, now = self._energy_j(), self._now()
            self._in_step_s, self._began_s, self._paused_at = now - self._began_s, None, (now, energy_j)

    def drop(self) -> None:
        """Training pauses, and nothing may be read now."""
        if self._began_s is not None:
            self._lap = None if self._lap is None else (0, 0.0)
            self._in_step_s, self._began_s, self._paused_at = 0.0, None, None

    def resume(self) -> None:
        """Training continues; does nothing while it does. Time and energy of the pause are left out."""
        if self._began_s is not None:
            return
        self._clock.finish()
        if self._paused_at is None:
            self._recorder.interrupt(lost=True)
        else:
            at_s, energy_j = self._paused_at
            self._pauses_j += self._energy_j() - energy_j
            if self._now() - at_s > LONG_PAUSE_S:
                self._recorder.interrupt()
        self._went_on()

    def finish(self) -> tuple[RankWindow, Reading]:
        """The window ends: what it measured, and the reading at its end."""
        self._close_lap()
        reading = self._read()
        settling_s, settling_units = self._settled
        _measured_s, units = self._recorder.so_far
        window = self._recorder.finish(
            reading.energy_j - self._pauses_j,
            settling_s=settling_s,
            settling_units=settling_units,
            gpus=len(self._group.mine),
            busy_s=self._busy_s / units if units else math.nan,
        )
        return window, reading

    def _mark(self) -> None:
        self._close_lap()
        self._recorder.mark(self._energy_j())

    def _close_lap(self) -> None:
        """Wait for the GPU: its work is done now, and so is the lap."""
        if self._lap is None or not self._lap[0] or self._began_s is None:
            return
        self._clock.finish()
        now = self._now()
        self._recorder.lap(now - self._began_s, *self._lap)
        self._began_s, self._lap = now, (0, 0.0)

    def _energy_j(self) -> float:
        """Where the counter stands, without what was used in pauses of this window."""
        return self._read().energy_j - self._pauses_j

    def _read(self) -> Reading:
        """This process's own GPUs; virtual ones train first what was counted."""
        if self._virtual:
            self._clock.read()
        return self._group.mine.read()

    def _now(self) -> float:
        return self._clock.now_s() if self._virtual else time.perf_counter()
