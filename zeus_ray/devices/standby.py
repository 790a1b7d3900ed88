"""Who steps in when a board's keeper dies: the journals the next one reads, and the guard."""

from __future__ import annotations

import functools
from pathlib import Path

from zeus_ray.devices import guard
from zeus_ray.devices.custody import Custody
from zeus_ray.devices.gpu import Gpu, VirtualGpu
from zeus_ray.devices.journal import MEASURED, Journal, state_dir


def custodies(gpu: Gpu, folder: Path | None, *, guarded: bool) -> tuple[Custody, Custody]:
    """For the leases that may set a limit, and for those that may not.

    The second only notes who measures, so that a restarted actor goes on counting. A virtual board
    has neither journal nor guard: it dies with its process.
    """
    if isinstance(gpu, VirtualGpu):
        return Custody(gpu, None), Custody(gpu, None)
    folder = folder or state_dir()
    journal, notes = Journal(folder, gpu.uuid), Journal(folder, gpu.uuid, ending=MEASURED)
    if not guarded:
        return Custody(gpu, journal), Custody(gpu, notes)
    return Custody(gpu, journal, stand_by=functools.partial(guard.ensure, folder)), Custody(gpu, notes)
