"""What a named window of a run used, and how a result carries the windows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from zeus_ray.errors import BadInput
from zeus_ray.records.knobs_progress_outcome_best import NAN
from zeus_ray.records.serialization import from_plain, to_json


@dataclass(frozen=True, kw_only=True)
class WindowUsage:
    """What a window of one name used, over all its repetitions.

    Attributes:
        energy_j: energy of the GPUs of this process (J); NaN where one of them is not measured.
        time_s: time on their clock (s).
        count: how often it was opened and closed.
    """

    energy_j: float = 0.0
    time_s: float = 0.0
    count: int = 0


@dataclass(frozen=True, kw_only=True)
class ReportedWindow(WindowUsage):
    """A window as a result carries it.

    Attributes:
        run_energy_j: energy of the same GPUs from the lease to the report (J); ``energy_j`` is a part of it.
    """

    run_energy_j: float = NAN


def windows_to_json(usage: Mapping[str, WindowUsage], run_energy_j: float) -> str:
    """The windows by name as JSON, with the energy of the run's GPUs; "" without any."""
    reported = {
        name: ReportedWindow(
            energy_j=used.energy_j, time_s=used.time_s, count=used.count, run_energy_j=run_energy_j
        )
        for name, used in usage.items()
    }
    return to_json(reported) if reported else ""


def windows_from_json(text: str) -> dict[str, ReportedWindow]:
    """Inverse of :func:`windows_to_json`; none in a text that is something else."""
    try:
        return {name: from_plain(ReportedWindow, used) for name, used in json.loads(text or "{}").items()}
    except (ValueError, AttributeError, BadInput):
        return {}
