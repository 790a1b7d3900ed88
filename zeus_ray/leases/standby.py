"""Who steps in when a board's keeper dies: the journals the next one reads, and the guard."""

from __future__ import annotations

import time
from pathlib import Path

from zeus_ray.gpus.protocol import Gpu, VirtualGpu
from zeus_ray.leases import watchdog as guard
from zeus_ray.leases.journal import MEASURED, Journal, state_dir
from zeus_ray.leases.limit_owner import LimitOwner

TRY_AGAIN_S = 60.0
"""A guard that would not start is not tried before every limit that is set: starting takes seconds."""


class StandBy:
    """Sees to it that a guard runs, each time before a board is written to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._not_before_s = 0.0

    def __call__(self) -> None:
        """Start the guard if it does not run."""
        if time.monotonic() >= self._not_before_s and not guard.ensure(self._folder):
            self._not_before_s = time.monotonic() + TRY_AGAIN_S


def limit_owners(gpu: Gpu, folder: Path | None, *, guarded: bool) -> tuple[LimitOwner, LimitOwner]:
    """For the leases that may set a limit, and for those that may not.

    The second only notes who measures, so that a restarted actor goes on counting. A virtual board
    has neither journal nor guard: it dies with its process.
    """
    if isinstance(gpu, VirtualGpu):
        return LimitOwner(gpu, None), LimitOwner(gpu, None)
    folder = folder or state_dir()
    journal, notes = Journal(folder, gpu.uuid), Journal(folder, gpu.uuid, ending=MEASURED)
    if not guarded:
        return LimitOwner(gpu, journal), LimitOwner(gpu, notes)
    return LimitOwner(gpu, journal, stand_by=StandBy(folder)), LimitOwner(gpu, notes)
