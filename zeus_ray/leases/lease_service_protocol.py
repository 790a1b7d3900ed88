"""What a training run asks of a GPU's lease manager, in this process or in a Ray actor."""

from __future__ import annotations

from typing import Protocol

from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.leases.lease_and_gpu_status import Lease
from zeus_ray.leases.process import HolderProcess


class GpuLeaseService(Protocol):
    """Leases of one GPU: its energy, its power limit, its power trace.

    :class:`~zeus_ray.leases.carbon_aware_lease_manager.CarbonAwareLeaseManager` offers it within one process,
    and ``zeus_ray.actors.lease_gpus_through_actors.GpuActorClient`` hands each call to the GPU's Ray actor.

    Every method may raise DeviceLost; every method with a ``lease_id`` raises LeaseRefused for a lease that
    is not held.
    """

    def acquire(
        self,
        holder: HolderProcess,
        limit_w: float | None = None,
        *,
        control: str = "auto",
        exclusive: bool = False,
        emissions: str = "",
    ) -> Lease:
        """Lease the GPU, and set ``limit_w`` where one is given.

        Args:
            holder: the trial, and the process whose end ends the lease.
            limit_w: as :meth:`set_limit`; if setting it fails, no lease is left behind.
            control: ``auto`` or ``off``, the strictest of driver and trial.
            exclusive: share the GPU with no other lease.
            emissions: JSON of the :class:`~zeus_ray.records.EmissionsConfig` that prices the lease's energy;
                "": it is not priced.

        Raises:
            LeaseRefused: the GPU is held, and one of the two leases is exclusive.
        """
        ...

    def set_limit(self, lease_id: str, limit_w: float) -> Reading:
        """Set the power limit (W) for this lease, and read back the one in force.

        Raises:
            BadInput: a limit outside the GPU's range.
            NoPermission: this lease may not set a limit.
            LeaseRefused: another lease holds the GPU at a different limit.
        """
        ...

    def follow(self, lease_id: str, profile: str) -> Reading:
        """Let the limit follow the lease's carbon signal from now on, by a power profile (as JSON)."""
        ...

    def read(self, lease_id: str) -> Reading:
        """Energy, time and limit now; of an ended lease, those at its end."""
        ...

    def release(self, lease_id: str) -> Reading:
        """End the lease and restore the limit that was found. Ending it again changes nothing."""
        ...

    def power_trace(self, lease_id: str) -> list[tuple[float, float, float]]:
        """(s since the lease began, power in W, limit in force in W), thinned as it grows."""
        ...

    def train(self, lease_id: str, samples: int, batch_size: int) -> Reading:
        """Advance a virtual GPU by ``samples`` in batches of ``batch_size``."""
        ...

    def load(self, lease_id: str, wall_s: float) -> Reading:
        """Advance a virtual GPU by ``wall_s`` seconds of full load."""
        ...

    def time_per_sample_s(self, batch_size: int) -> float:
        """Seconds per sample of a virtual GPU at the limit in force."""
        ...
