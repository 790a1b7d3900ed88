"""The GPUs of one run as one: leased together, at the same limit, energy summed, time the maximum."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from typing_extensions import Self

from zeus_ray.errors import DeviceError, DeviceLost
from zeus_ray.gpus.energy.cpu_energy import CpuEnergy
from zeus_ray.gpus.energy.readings import Reading, joined
from zeus_ray.gpus.protocol import LimitRange
from zeus_ray.leases.lease_and_gpu_status import Lease
from zeus_ray.leases.lease_service_protocol import GpuLeaseService
from zeus_ray.leases.process import HolderProcess
from zeus_ray.leases.service_with_deadline import AnsweringService
from zeus_ray.records import NAN, MeasuredBy, PowerProfile, StopReason, to_json
from zeus_ray.training.machine_cpu_energy_during_run import CpuEnergyOfRun

logger = logging.getLogger("zeus_ray")

PowerPoints = Sequence[tuple[float, float, float]]
"""Power over time: (s since the lease began, power in W, limit in force in W)."""


@dataclass(frozen=True)
class LeasedGpu:
    """One leased GPU.

    Attributes:
        service: who measures it and sets its limit.
        lease: what was leased.
        actor: name of the Ray actor behind ``service``; "" in this process.
    """

    service: GpuLeaseService
    lease: Lease
    actor: str = ""

    @classmethod
    def local(
        cls, manager: GpuLeaseService, holder: HolderProcess, control: str = "auto", emissions: str = ""
    ) -> Self:
        """Lease a GPU whose lease manager is in this process."""
        service = AnsweringService(manager)
        lease = service.acquire(holder, control=control, emissions=emissions)
        return cls(manager if lease.virtual else service, lease)

    def read(self) -> Reading:
        """Energy, time and limit now."""
        return self.service.read(self.lease.lease_id)

    def power_trace(self) -> PowerPoints:
        """Its power since the lease began."""
        return self.service.power_trace(self.lease.lease_id)


RELEASE_ATTEMPTS = 5
"""How often a release goes on after an interrupt: an impatient user presses Ctrl-C several times."""


class GpuGroup:
    """All GPUs of a run. Without any, time is wall time and everything else is NaN.

    In a :class:`Reading` of the group, ``energy_j``, ``carbon_g`` and ``price`` are summed over the GPUs,
    ``time_s`` is the longest, ``power_limit_w`` the lowest limit in force.

    Args:
        gpus: the leased GPUs.
        why_none: why there are none, as a message for the user.

    Attributes:
        leases: the lease of each GPU.
        held: (actor, lease id) of each GPU that an actor holds, which knows what it used to its end.
        mine: the GPUs that this process leases itself: all, unless several processes share the group.
        released: whether the leases have ended.
        cpus: measures the CPUs of this machine; None: they are not measured.
        counts_cpus: whether the CPUs of this machine count here, and not in another process of the job.
    """

    by_steps = False
    """Whether windows end by counted steps and not by the clock, which differs between processes."""
    stops_together = False
    """Whether a reason to stop counts only once all processes know it: see :class:`RankGpuGroup`."""
    logs = True
    """Whether this process logs what concerns all: of several of one job one does."""

    def __init__(self, gpus: Sequence[LeasedGpu], *, why_none: str = "") -> None:
        self.why_none = why_none
        self.leases = tuple(gpu.lease for gpu in gpus)
        self.held = tuple((gpu.actor, gpu.lease.lease_id) for gpu in gpus if gpu.actor)
        self.mine: GpuGroup = self
        self.stop_wish: StopReason | None = None
        self.agreed_stop: StopReason | None = None
        self.released = False
        self.cpus: CpuEnergyOfRun | None = None
        self.counts_cpus = True
        self._gpus = tuple(gpus)
        self._sick: set[str] = set()
        self._began_s = time.perf_counter()

    @classmethod
    def lease_all(cls, gpus: Iterable[LeasedGpu]) -> Self:
        """The group of ``gpus``, which the iterator leases one by one: all of them, or none."""
        leased: list[LeasedGpu] = []
        try:
            for gpu in gpus:
                leased.append(gpu)  # noqa: PERF402 — to know which were leased, if the next one is not
        except BaseException:
            cls(leased).release()
            raise
        return cls(leased)

    def __len__(self) -> int:
        return len(self.leases)

    @property
    def gpu(self) -> str:
        """The kind of GPU ("" without one); several kinds are joined by " + "."""
        return " + ".join(dict.fromkeys(lease.gpu for lease in self.leases))

    @property
    def measured_by(self) -> MeasuredBy:
        """How energy is measured; the least exact way where the GPUs differ."""
        kinds = {lease.measured_by for lease in self.leases}
        if not kinds:
            return MeasuredBy.NONE
        return kinds.pop() if len(kinds) == 1 else MeasuredBy.POWER_INTEGRAL

    @property
    def range(self) -> LimitRange | None:
        """The limits that every GPU accepts; None where there is none."""
        known = [lease.range for lease in self.leases if lease.range is not None]
        if not known or len(known) < len(self):
            return None
        low, high = max(r.min_w for r in known), min(r.max_w for r in known)
        default_w = min(r.default_w for r in known)
        return LimitRange(min_w=low, max_w=high, default_w=default_w) if low <= high else None

    @property
    def may_set(self) -> bool:
        """Whether the limit of every GPU may be set."""
        return bool(self.leases) and all(lease.may_set for lease in self.leases)

    @property
    def why_not(self) -> str:
        """Why limits cannot be set, as a message for the user; "" where they can."""
        return next((lease.why_not for lease in self.leases if not lease.may_set), self.why_none)

    @property
    def virtual(self) -> bool:
        """Whether time passes on the GPUs only by ``train`` and ``load``."""
        return any(lease.virtual for lease in self.leases)

    def measure_cpus(self) -> None:
        """Measure the CPUs of this machine from now on; not beside virtual GPUs, whose time is another."""
        if not self.virtual:
            self.mine.cpus = CpuEnergyOfRun()

    def stop_measuring_cpus(self) -> None:
        """From now on the energy of CPUs is not known."""
        if self.cpus:
            self.cpus.close()
        self.cpus, self.counts_cpus = None, True

    def connect(self) -> str:
        """Find the other processes of the job, before the first step. Returns why that fails; ""."""
        return ""

    def exchange(self, value: Any) -> list[Any]:  # noqa: ANN401 — small values of any type
        """Every process's value, in the order of ranks; waits for all. Empty: the others do not answer."""
        return [value]

    def read(self) -> Reading:
        """Energy, time and limit now. A GPU that cannot be read has an energy of NaN, which is said once."""
        return self.each(self._read_or_nan)

    def _read_or_nan(self, gpu: LeasedGpu) -> Reading:
        try:
            return gpu.read()
        except DeviceLost:
            raise
        except DeviceError as error:
            if gpu.lease.uuid not in self._sick:
                self._sick.add(gpu.lease.uuid)
                logger.warning(
                    "zeus-ray: %s cannot be read, so the run's energy is unknown meanwhile: %s; see "
                    "`zeus-ray doctor`",
                    gpu.lease.uuid,
                    error,
                )
            return self._wall_reading()

    def set_limit(self, limit_w: float) -> Reading:
        """Set one limit (W) on all GPUs. Raises as :meth:`GpuLeaseService.set_limit`."""
        return self.each(lambda gpu: gpu.service.set_limit(gpu.lease.lease_id, limit_w))

    def follow(self, profile: PowerProfile) -> None:
        """Let every GPU's limit follow the carbon signal from now on. Raises as :meth:`set_limit`."""
        for gpu in self._gpus:
            gpu.service.follow(gpu.lease.lease_id, to_json(profile))

    def train(self, samples: int, batch_size: int) -> Reading:
        """Advance virtual GPUs by ``samples``, split over them."""
        share, batch = -(-samples // len(self)), max(1, batch_size // len(self))
        return self.each(lambda gpu: gpu.service.train(gpu.lease.lease_id, share, batch))

    def load(self, wall_s: float) -> Reading:
        """Advance virtual GPUs by ``wall_s`` seconds of full load."""
        return self.each(lambda gpu: gpu.service.load(gpu.lease.lease_id, wall_s))

    def time_per_sample_s(self, batch_size: int) -> float:
        """Seconds per sample of virtual GPUs at the limit in force."""
        return self.slowest_sample_s(max(1, batch_size // len(self))) / len(self)

    def slowest_sample_s(self, share: int) -> float:
        """Seconds per sample of the slowest virtual GPU, at ``share`` samples per step each."""
        return max((gpu.service.time_per_sample_s(share) for gpu in self._gpus), default=0.0)

    def power_traces(self) -> dict[str, PowerPoints]:
        """The power of each GPU of this process over time, by UUID."""
        return {gpu.lease.uuid: gpu.power_trace() for gpu in self._gpus}

    def release(self) -> None:
        """Release every lease, also when one fails; raises the first error then.

        A GPU that does not take its original limit is no error of the run: the journal keeps the limit, and
        the watchdog goes on.
        """
        errors: list[BaseException] = []
        for gpu in self._gpus:
            for _attempt in range(RELEASE_ATTEMPTS):
                try:
                    gpu.service.release(gpu.lease.lease_id)
                except DeviceError as error:
                    logger.warning(
                        "zeus-ray: the original limit of %s is not restored yet: %s; the watchdog goes on "
                        "trying, see `zeus-ray doctor`",
                        gpu.lease.uuid,
                        error,
                    )
                except Exception as error:  # noqa: BLE001 — the other GPUs must be released first
                    errors.append(error)
                except BaseException as error:  # noqa: BLE001 — Ctrl-C: what it has interrupted goes on
                    errors.append(error)
                    continue
                break
        self._gpus, self.released = (), True
        self.stop_measuring_cpus()
        if errors:
            raise errors[0]

    def each(self, call: Callable[[LeasedGpu], Reading]) -> Reading:
        """Call every GPU's service, and join the readings."""
        readings = [call(gpu) for gpu in self._gpus]
        reading = joined(readings) if readings else self._wall_reading()
        cpus = self._cpu_energy()
        return replace(reading, cpu_energy_j=cpus.cpu_energy_j, dram_energy_j=cpus.dram_energy_j)

    def _cpu_energy(self) -> CpuEnergy:
        if not self.counts_cpus:
            return CpuEnergy(cpu_energy_j=0.0, dram_energy_j=0.0)
        return self.cpus.read() if self.cpus else CpuEnergy()

    def _wall_reading(self) -> Reading:
        """A reading of which only the time is known."""
        wall_s = time.perf_counter() - self._began_s
        return Reading(energy_j=NAN, time_s=wall_s, power_limit_w=NAN, shared=False, energy_j_err=NAN)
