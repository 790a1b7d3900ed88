"""Stores the power of an attempt beside its usage, for ``zeus-ray report``."""

from __future__ import annotations

import logging

from zeus_ray.records import to_json
from zeus_ray.records.stored_power_trace import bounded_trace
from zeus_ray.training.leased_gpu_group import GpuGroup
from zeus_ray.training.usage_of_earlier_attempts import AttemptLog

POWER_FILE = "zeus-power-{number}.json"

logger = logging.getLogger("zeus_ray")


def store_power_trace(attempts: AttemptLog, group: GpuGroup, epoch_ends_s: list[float]) -> None:
    """Write what the GPUs of this process drew in this attempt; nothing outside a trial, or without a GPU.

    A trace is for people: what prevents it ends no training, and is not even a warning.
    """
    if attempts.folder is None or not len(group.mine):
        return
    try:
        trace = bounded_trace(
            group.power_traces(),
            gpu=group.gpu,
            measured_by=group.measured_by.value,
            epoch_ends_s=epoch_ends_s,
        )
        if any(trace.traces.values()):
            attempts.folder.write(POWER_FILE.format(number=attempts.attempt), to_json(trace))
    except Exception as error:  # noqa: BLE001 — see above; Ray's own errors, too
        logger.info("zeus-ray: the power of this attempt is not stored: %s", error)
