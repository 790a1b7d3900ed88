"""The lease service of a GPU through its Ray actor, which is found by name or created."""

from __future__ import annotations

import logging
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from zeus_ray import __version__
from zeus_ray.actors import NAMESPACE
from zeus_ray.actors.gpu_actor import GpuActor
from zeus_ray.errors import DeviceError
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.leases.lease import Lease
from zeus_ray.leases.process import HolderProcess
from zeus_ray.leases.service import GpuLeaseService
from zeus_ray.training.attempts import AttemptUsage, Held
from zeus_ray.training.gpu_group import joined

FINAL_WITHIN_S = 5.0
"""How long an actor may take to tell what an earlier attempt has used."""

logger = logging.getLogger("zeus_ray")


class GpuActorClient(GpuLeaseService):
    """Calls the actor of GPU ``uuid`` on node ``node_id`` and waits for its answer.

    Args:
        source: ``nvml``, ``simulated:NAME`` or ``replay:DIR``.
        uuid: the GPU.
        node_id: the Ray node that has it.
    """

    def __init__(self, source: str, uuid: str, node_id: str) -> None:
        self.actor_name = f"gpu-{__version__}-{uuid}@{node_id[:12]}"
        self._source = source
        self._uuid = uuid
        self._node_id = node_id
        self._actor = self._find_or_create()

    def _find_or_create(self) -> Any:  # noqa: ANN401 — a Ray handle
        options = {
            "name": self.actor_name,
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "get_if_exists": True,
            "num_cpus": 0,
            "num_gpus": 0,
            "max_restarts": -1,
            "max_task_retries": 2,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=self._node_id, soft=False),
        }
        return ray.remote(GpuActor).options(**options).remote(self._source, self._uuid)

    def acquire(
        self,
        holder: HolderProcess,
        limit_w: float | None = None,
        *,
        control: str = "auto",
        exclusive: bool = False,
        emissions: str = "",
    ) -> Lease:
        """See :class:`GpuLeaseService`."""

        def acquire() -> Lease:
            lease: Lease = ray.get(
                self._actor.acquire.remote(
                    holder, limit_w, control=control, exclusive=exclusive, emissions=emissions
                )
            )
            return lease

        try:
            return acquire()
        except ray.exceptions.ActorDiedError:  # it was just ending, being idle
            self._actor = self._find_or_create()
            return acquire()

    def set_limit(self, lease_id: str, limit_w: float) -> Reading:
        """See :class:`GpuLeaseService`."""
        return _reading(self._actor.set_limit.remote(lease_id, limit_w))

    def follow(self, lease_id: str, profile: str) -> Reading:
        """See :class:`GpuLeaseService`."""
        return _reading(self._actor.follow.remote(lease_id, profile))

    def read(self, lease_id: str) -> Reading:
        """See :class:`GpuLeaseService`."""
        return _reading(self._actor.read.remote(lease_id))

    def release(self, lease_id: str) -> Reading:
        """See :class:`GpuLeaseService`."""
        return _reading(self._actor.release.remote(lease_id))

    def power_trace(self, lease_id: str) -> list[tuple[float, float, float]]:
        """See :class:`GpuLeaseService`."""
        return list(ray.get(self._actor.power_trace.remote(lease_id)))

    def train(self, lease_id: str, samples: int, batch_size: int) -> Reading:
        """See :class:`GpuLeaseService`."""
        return _reading(self._actor.train.remote(lease_id, samples, batch_size))

    def load(self, lease_id: str, wall_s: float) -> Reading:
        """See :class:`GpuLeaseService`."""
        return _reading(self._actor.load.remote(lease_id, wall_s))

    def time_per_sample_s(self, batch_size: int) -> float:
        """See :class:`GpuLeaseService`."""
        return float(ray.get(self._actor.time_per_sample_s.remote(batch_size)))


def final_usage(held: Held) -> AttemptUsage | None:
    """What an attempt's leases had used when they ended, as the actors of their GPUs remember.

    Args:
        held: (actor, lease id) of each GPU.

    Returns:
        None where an actor is gone or no longer remembers.
    """
    try:
        actors = [(ray.get_actor(name, namespace=NAMESPACE), lease_id) for name, lease_id in held]
        asked = [actor.final_reading.remote(lease_id) for actor, lease_id in actors]
        return AttemptUsage.of(joined(ray.get(asked, timeout=FINAL_WITHIN_S)))
    except (ValueError, DeviceError, ray.exceptions.RayError) as error:
        logger.info("zeus-ray: what an earlier attempt used after its last report is not known: %s", error)
        return None


def _reading(answer: Any) -> Reading:  # noqa: ANN401 — a Ray reference
    reading: Reading = ray.get(answer)
    return reading
