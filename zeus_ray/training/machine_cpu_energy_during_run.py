"""Energy of the CPUs and DRAM of the machine of a run, while it holds its lease."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from zeus_ray.gpus.energy.cpu_energy import POWERCAP, CpuEnergy, CpuEnergyMeter
from zeus_ray.gpus.energy.sampling_thread import SamplingThread
from zeus_ray.leases.process import boot_id

READ_EVERY_S = 10.0
"""So that no counter wraps unseen: the shortest, of 2^32 µJ, lasts so long at 430 W."""


def this_machine() -> str:
    """The same in all containers of one machine, which have the same CPUs."""
    return boot_id() or socket.gethostname()


class CpuEnergyOfRun:
    """Energy of the whole machine's CPUs and DRAM since this was made, whichever processes used them.

    A thread reads the counters between the readings of the run; where there are none, there is no thread.

    Args:
        root: where the kernel shows its power zones.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        self._meter = CpuEnergyMeter(root)
        self._lock = threading.Lock()
        self._closed = not self._meter.has_counters
        SamplingThread(self.read, lambda: self._closed, READ_EVERY_S).start()

    def read(self) -> CpuEnergy:
        """Energy so far; NaN where a counter of its kind cannot be read."""
        with self._lock:
            return self._meter.read()

    def close(self) -> None:
        """End the thread."""
        self._closed = True
