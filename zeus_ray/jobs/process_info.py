"""Where a run's process is, and whether it is known to be gone."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import Self

from zeus_ray.leases.process import HolderProcess, boot_id


@dataclass(frozen=True, kw_only=True)
class ProcessInfo:
    """A process. ``machine`` names the host, its start, and the container: pids mean nothing elsewhere."""

    machine: str
    pid: int
    started_s: float

    @classmethod
    def here(cls) -> Self:
        """This process."""
        me = HolderProcess.current("")
        return cls(machine=_machine(), pid=me.pid, started_s=me.started_s)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Inverse of ``dataclasses.asdict``, through JSON."""
        return cls(machine=str(raw["machine"]), pid=int(raw["pid"]), started_s=float(raw["started_s"]))

    def alive(self) -> bool | None:
        """Whether the process runs; None where it cannot be seen from here."""
        if self.machine != _machine():
            return None
        return HolderProcess(trial_id="", pid=self.pid, started_s=self.started_s).alive()


def _machine() -> str:
    try:
        container = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        container = os.name
    return f"{platform.node()} {boot_id()} {container}"
