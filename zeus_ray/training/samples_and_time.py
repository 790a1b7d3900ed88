"""Progress of a run: samples and epochs trained, and the time on its GPUs' clock, without a call per step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.records import NAN
from zeus_ray.training.frameworks import synchronize
from zeus_ray.training.leased_gpu_group import GpuGroup


class RunClock:
    """Counts samples, and knows the time since the lease began.

    ``now_s`` takes about a microsecond and calls no GPU; ``edge`` reads the GPUs and is exact. The time of a
    virtual GPU passes in bulk, at the next reading. Where several processes share the group, ``now_s`` is
    estimated from the samples since the last reading, at the speed before it: it is then the same in every
    process, whose own clocks would differ; except where they agree on stops, see :class:`RankGpuGroup`.

    Args:
        group: the GPUs.
        batch_size: samples per optimizer step, over all GPUs.
        finish: waits until the GPUs have done the work that is queued.

    Attributes:
        samples: trained in this attempt.
        samples_before: trained by earlier attempts, where this one continues from a checkpoint.
        samples_per_epoch: None until it is known.
        last: the newest reading.
        finish: waits until the GPUs have done the work that is queued.
    """

    def __init__(self, group: GpuGroup, batch_size: int, *, finish: Callable[[], None] = synchronize) -> None:
        self.samples = 0
        self.samples_before = 0
        self.samples_per_epoch: int | None = None
        self.last = group.read()
        self._group = group
        self._batch_size = batch_size
        self.finish = finish
        self._step_samples = 0
        self._epoch_left: float = math.inf
        self._epoch_began = 0
        self._passes = 0
        self._in_passes = 0
        self._unread = 0
        self._read_at_s = time.perf_counter()
        self._estimates = group.virtual or (group.by_steps and not group.stops_together)
        self._sample_s = group.time_per_sample_s(batch_size) if group.virtual else math.inf

    # --- samples and epochs ----------------------------------------------------------------------

    @property
    def epochs(self) -> float:
        """Complete passes, and samples seen beside them / samples per epoch; over attempts.

        NaN until the length of an epoch is known. A complete pass is one epoch, whatever length was expected.
        """
        if not self.samples_per_epoch:
            return NAN
        beside = self.samples_before + self.samples - self._in_passes
        return self._passes + beside / self.samples_per_epoch

    def begin_epoch(self, samples: int | None) -> None:
        """An epoch of ``samples`` begins; None: its length is not known."""
        self.samples_per_epoch = samples or self.samples_per_epoch
        self._epoch_left = math.inf if samples is None else samples
        self._epoch_began = self.samples

    def end_epoch(self, *, complete: bool) -> int:
        """An epoch ends; if it is ``complete``, its length is known from now on. Returns its samples."""
        trained = self.samples - self._epoch_began
        if complete and trained:
            self.samples_per_epoch = trained
            self._passes += 1
            self._in_passes += trained
        self._epoch_left, self._epoch_began = math.inf, self.samples
        return trained

    def begin_step(self, samples: int | None = None) -> bool:
        """A step begins, of a batch or of what is left of the epoch. Returns whether it is a whole batch.

        ``samples``: how many it has, where that is known.
        """
        left = self._batch_size if self._epoch_left <= 0 else self._epoch_left
        self._step_samples = int(min(samples or left, self._batch_size))
        return self._step_samples == self._batch_size

    def end_step(self, samples: int | None = None) -> int:
        """Count the samples of the step as trained, and return them; ``samples``: how many, where known."""
        counted = self._step_samples if samples is None else min(samples, self._batch_size)
        self._epoch_left -= counted
        self.samples += counted
        self._unread += counted
        return counted

    def count_interval(self) -> None:
        """Count a report interval as an epoch of one sample, for a function that does not tell its steps."""
        self.samples_per_epoch = 1
        self.samples += 1

    # --- time --------------------------------------------------------------------------------------

    def now_s(self) -> float:
        """Time since the lease began (s), on the GPUs' clock."""
        if not self._estimates:
            return self.last.time_s + time.perf_counter() - self._read_at_s
        return self.last.time_s + (self._unread * self._sample_s if self._unread else 0.0)

    def edge(self) -> Reading:
        """Wait for queued work, then read: the edge of a window."""
        self.finish()
        return self.read()

    def edge_by_wall(self) -> Reading:
        """The edge of a window without counted samples: wall time since the last reading is full load."""
        self.finish()
        if self._group.virtual:
            self._group.load(time.perf_counter() - self._read_at_s)
        return self.read()

    def read(self) -> Reading:
        """Read without waiting for queued work. A virtual GPU first trains the samples counted since."""
        before_s = self.last.time_s
        if self._group.virtual and self._unread:
            self.last = self._group.train(self._unread, self._batch_size)
        else:
            self.last = self._group.read()
            if self._unread:
                self._sample_s = (self.last.time_s - before_s) / self._unread
        self._unread = 0
        self._read_at_s = time.perf_counter()
        return self.last

    def limit_changed(self) -> None:
        """Ask a virtual GPU for the new time of a sample."""
        if self._group.virtual:
            self._sample_s = self._group.time_per_sample_s(self._batch_size)
