"""What the holder of a lease is told about its GPU: the lease itself, and the GPU's status."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import Self

from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.gpus.protocol import Gpu, LimitRange
from zeus_ray.gpus.virtual_gpu_base import VirtualGpu
from zeus_ray.records import MeasuredBy


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A lease on one GPU. ``why_not`` tells why its limit cannot be set; "" if it can.

    ``gpu`` is the product name, ``original_limit_w`` the limit that will be restored, and ``reading`` the
    first reading.
    """

    lease_id: str
    uuid: str
    gpu: str
    measured_by: MeasuredBy
    range: LimitRange | None
    original_limit_w: float
    may_set: bool
    why_not: str
    virtual: bool
    reading: Reading

    @classmethod
    def on(cls, gpu: Gpu, *, lease_id: str, original_limit_w: float, why_not: str, reading: Reading) -> Self:
        """A lease on ``gpu``."""
        return cls(
            lease_id=lease_id,
            uuid=gpu.uuid,
            gpu=gpu.name,
            measured_by=gpu.measured_by,
            range=gpu.range,
            original_limit_w=original_limit_w,
            may_set=not why_not,
            why_not=why_not,
            virtual=isinstance(gpu, VirtualGpu),
            reading=reading,
        )


@dataclass(frozen=True, kw_only=True)
class GpuStatus:
    """One GPU as a dashboard shows it; ``energy_j`` has (trial id, joules since its lease began)."""

    uuid: str
    power_limit_w: float
    energy_j: tuple[tuple[str, float], ...]
