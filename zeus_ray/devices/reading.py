"""What a trial is told about the board it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from zeus_ray.devices.gpu import Gpu, LimitRange, VirtualGpu
from zeus_ray.records import NAN, MeasuredBy


@dataclass(frozen=True, kw_only=True)
class Edge:
    """Where a board's meter stands at one moment: energy since an arbitrary origin, within ``err_j``.

    ``count_j`` is what its counter shows, ``offset_j`` what the meter adds for the counter's past; both
    let another process go on from here.
    """

    at_s: float
    energy_j: float
    err_j: float
    count_j: float = 0.0
    offset_j: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Energy and time since the lease began, on the board's clock, and the limit in force.

    The true energy is within ``energy_j_err`` (J) of ``energy_j``. On a shared board ``energy_j`` is
    this lease's equal share. ``carbon_g`` is what that energy emitted (or cost, in money) when it was used.
    """

    energy_j: float
    time_s: float
    power_limit_w: float
    shared: bool
    energy_j_err: float = 0.0
    carbon_g: float = NAN


NO_READING = Reading(energy_j=NAN, time_s=NAN, power_limit_w=NAN, shared=False, energy_j_err=NAN)


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
