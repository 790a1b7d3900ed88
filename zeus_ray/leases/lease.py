"""What a lease holder is told about the GPU it holds: the lease, and the status of the GPU."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import Self

from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.gpus.protocol import Gpu, LimitRange, VirtualGpu
from zeus_ray.records import MeasuredBy


@dataclass(frozen=True, kw_only=True)
class Lease:
    """What a trial is told about the board it holds. ``why_not`` says why its limit cannot be set."""

    lease_id: str
    uuid: str
    gpu: str
    measured_by: MeasuredBy
    range: LimitRange | None
    found_limit_w: float
    may_set: bool
    why_not: str
    virtual: bool
    reading: Reading

    @classmethod
    def on(cls, gpu: Gpu, *, lease_id: str, found_limit_w: float, why_not: str, reading: Reading) -> Self:
        """A lease on ``gpu``."""
        return cls(
            lease_id=lease_id,
            uuid=gpu.uuid,
            gpu=gpu.name,
            measured_by=gpu.measured_by,
            range=gpu.range,
            found_limit_w=found_limit_w,
            may_set=not why_not,
            why_not=why_not,
            virtual=isinstance(gpu, VirtualGpu),
            reading=reading,
        )


@dataclass(frozen=True, kw_only=True)
class Status:
    """A board as a dashboard shows it; ``energy_j`` has (trial id, joules since its lease began)."""

    uuid: str
    power_limit_w: float
    energy_j: tuple[tuple[str, float], ...]
