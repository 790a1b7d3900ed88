"""When Ray Tune should store its experiment: after trials have ended, but for a bounded share of the time."""

from __future__ import annotations

import time
from collections.abc import Callable

from ray.tune.experiment import Trial

REST = 25.0
"""Times as long as a save has taken, until the next one: saves take at most 4 % of the driver's time. Each
copies the files of all trials, so one for each trial would make an experiment quadratic."""


class BoundedSaves:
    """Which trials have ended or paused since the last save, and whether the next one is due."""

    def __init__(self) -> None:
        self._unsaved = False
        self._pausing: list[Trial] = []
        self._began_s: float | None = None
        self._next_s = 0.0

    def ended(self) -> None:
        """A trial has ended: a crash of the driver should not undo that."""
        self._unsaved = True

    def pausing(self, trial: Trial) -> None:
        """A trial is about to pause: what it has stored by then should not be lost."""
        self._pausing.append(trial)

    def save_if_due(self, save: Callable[[], None], is_saving: Callable[[], bool]) -> None:
        """Call ``save`` if there is something new and the last time was long enough ago.

        Args:
            save: begins a save.
            is_saving: whether it goes on, in another thread.
        """
        if self._pausing:
            waiting = [trial for trial in self._pausing if trial.status == Trial.RUNNING]
            self._unsaved |= len(waiting) < len(self._pausing)
            self._pausing = waiting
        now_s = time.monotonic()
        if self._began_s is not None and not is_saving():
            self._next_s = now_s + REST * (now_s - self._began_s)
            self._began_s = None
        if self._unsaved and self._began_s is None and now_s >= self._next_s:
            self._began_s = now_s
            save()
            self._unsaved = False
