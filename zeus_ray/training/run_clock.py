"""Where a run stands: samples seen, and the time on its boards' clock, without a call per step."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.training.gpu_group import GpuGroup


def finish_queued_work() -> None:
    """Wait for queued CUDA work, where torch is loaded and uses CUDA: else a window's edge lies."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


class RunClock:
    """Counts samples. On a virtual board it knows the time of a sample and flushes in bulk.

    ``now_s`` costs about a microsecond and touches no board; ``edge`` reads them and is exact.
    On boards that several processes share, ``now_s`` is reckoned from the samples since the last
    reading, at the pace before it: the same in every process, whose own clocks would differ.
    """

    def __init__(
        self, boards: GpuGroup, batch_size: int, *, finish: Callable[[], None] = finish_queued_work
    ) -> None:
        self.samples = 0
        self._boards = boards
        self._batch_size = batch_size
        self._finish = finish
        self._unflushed = 0
        self._read_at_s = time.perf_counter()
        self._last = boards.read()
        self._reckons = boards.virtual or boards.by_steps
        self._sample_s = boards.time_per_sample_s(batch_size) if boards.virtual else math.inf

    @property
    def last(self) -> Reading:
        """The newest reading, without another one."""
        return self._last

    def tick(self, samples: int) -> None:
        """Count ``samples`` as trained."""
        self.samples += samples
        self._unflushed += samples

    def count_interval(self) -> None:
        """Count one report interval as one sample: nobody says how many there were."""
        self.samples += 1

    def now_s(self) -> float:
        """Time since the lease began, on the boards' clock."""
        if not self._reckons:
            return self._last.time_s + time.perf_counter() - self._read_at_s
        return self._last.time_s + (self._unflushed * self._sample_s if self._unflushed else 0.0)

    def edge(self) -> Reading:
        """Wait for queued work, then read: the edge of a window."""
        self._finish()
        return self.glance()

    def glance(self) -> Reading:
        """Read without waiting for queued work; what was trained goes on virtual boards first."""
        before_s = self._last.time_s
        if self._boards.virtual and self._unflushed:
            self._last = self._boards.train(self._unflushed, self._batch_size)
        else:
            self._last = self._boards.read()
            if self._unflushed:
                self._sample_s = (self._last.time_s - before_s) / self._unflushed
        self._unflushed = 0
        self._read_at_s = time.perf_counter()
        return self._last

    def edge_by_wall(self) -> Reading:
        """The edge of a window in which no sample was counted: wall time since the last read is full load."""
        self._finish()
        if self._boards.virtual:
            self._boards.load(time.perf_counter() - self._read_at_s)
        return self.glance()

    def limit_changed(self) -> None:
        """Ask virtual boards for the new time of a sample."""
        if self._boards.virtual:
            self._sample_s = self._boards.time_per_sample_s(self._batch_size)
