"""Readings of one GPU: its energy meter, and energy, time and power limit since a lease began."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zeus_ray.records import NAN


@dataclass(frozen=True, kw_only=True)
class EnergyReading:
    """What a GPU's energy meter shows at one moment: energy since an arbitrary origin, within ``err_j``.

    ``count_j`` is the value of the GPU's counter, ``offset_j`` what the meter adds to it for counter resets
    and stalls; with both, the meter of another process can continue. ``drift_j`` is the part of the error
    that only grows: of the intervals in which the counter was wrong and the integral of power was used.
    """

    at_s: float
    energy_j: float
    err_j: float
    count_j: float = 0.0
    offset_j: float = 0.0
    drift_j: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Energy and time since the lease began, on the GPU's clock, and the limit in force.

    The true energy is within ``energy_j_err`` (J) of ``energy_j``. On a shared GPU ``energy_j`` is
    this lease's equal share. ``carbon_g`` is what that energy emitted when it was used (g), ``price`` what it
    cost (currency of the signal); each is NaN unless the lease has a signal of that kind. ``measured_by`` is
    "power integral" where that replaced a counter that was reset or jumped; "": as the lease says.
    ``limit_changed_by_others``: someone else has set the limit since the lease began; then it is theirs, and
    what is measured from then on says nothing about the limit of this lease. ``cpu_energy_j`` is of the CPUs
    of the machines of a run, ``dram_energy_j`` of their memory (J), each once; no lease of a GPU knows them.
    """

    energy_j: float
    time_s: float
    power_limit_w: float
    shared: bool
    energy_j_err: float = 0.0
    carbon_g: float = NAN
    price: float = NAN
    measured_by: str = ""
    limit_changed_by_others: bool = False
    cpu_energy_j: float = NAN
    dram_energy_j: float = NAN


NO_READING = Reading(energy_j=NAN, time_s=NAN, power_limit_w=NAN, shared=False, energy_j_err=NAN)


def joined(readings: Sequence[Reading]) -> Reading:
    """The readings of several GPUs as one; a sum is NaN where one of its numbers is."""
    return Reading(
        energy_j=math.fsum(r.energy_j for r in readings),
        time_s=max(r.time_s for r in readings),
        power_limit_w=min(r.power_limit_w for r in readings),
        shared=any(r.shared for r in readings),
        energy_j_err=math.fsum(r.energy_j_err for r in readings),
        carbon_g=math.fsum(r.carbon_g for r in readings),
        price=math.fsum(r.price for r in readings),
        measured_by=next((r.measured_by for r in readings if r.measured_by), ""),
        limit_changed_by_others=any(r.limit_changed_by_others for r in readings),
        cpu_energy_j=math.fsum(r.cpu_energy_j for r in readings),
        dram_energy_j=math.fsum(r.dram_energy_j for r in readings),
    )
