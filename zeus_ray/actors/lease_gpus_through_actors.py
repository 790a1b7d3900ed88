"""A trial's GPUs, leased through their Ray actors, which are found by name or created on the trial's node."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from zeus_ray import __version__
from zeus_ray.actors import NAMESPACE
from zeus_ray.actors.carbon_file_given_to_gpu_actor import JobSignal, read_job_signal
from zeus_ray.actors.gpu_actor import GpuActor
from zeus_ray.errors import BadInput, DeviceError, LeaseRefused, NoDevice
from zeus_ray.gpus import discovery as discover
from zeus_ray.gpus.energy.readings import Reading, joined
from zeus_ray.leases.lease_and_gpu_status import Lease
from zeus_ray.leases.lease_service_protocol import GpuLeaseService
from zeus_ray.leases.process import HolderProcess, proof_of_process
from zeus_ray.leases.service_with_deadline import AnsweringService
from zeus_ray.training.leased_gpu_group import GpuGroup, LeasedGpu
from zeus_ray.training.usage_of_earlier_attempts import AttemptUsage, Held

MAX_SIMULATED_PER_NODE = 1024
ACTOR_ANSWERS_WITHIN_S = 30.0
"""A killed actor is started again within seconds, on a busy node within many."""
ACTOR_STARTS_WITHIN_S = 120.0
FINAL_WITHIN_S = 5.0
"""How long an actor may take to tell what an earlier attempt has used."""

logger = logging.getLogger("zeus_ray")


def lease_gpus(
    holder: HolderProcess,
    *,
    source: str,
    control: str,
    given: Sequence[str],
    simulated: int = 1,
    emissions: str = "",
) -> GpuGroup:
    """Lease the GPUs that Ray gave this trial: all of them, or none.

    Args:
        holder: the trial, and the process whose end ends the lease.
        source: ``nvml``, ``simulated:NAME`` or ``replay:DIR``.
        control: ``auto`` or ``off``, the strictest of driver and trial; the node's own counts too.
        given: Ray's accelerator ids of this trial, indices or UUIDs.
        simulated: how many simulated GPUs to lease where Ray gave none.
        emissions: JSON of the EmissionsConfig that prices the trial's energy; "": it is not priced.

    Raises:
        BadInput: a node with GPUs, of which this trial was given none.
        LeaseRefused: another trial holds a GPU for itself.
    """
    try:
        emissions, signal = read_job_signal(emissions)
    except BadInput as error:
        logger.warning("zeus-ray: nothing is priced here: %s", error)
        emissions, signal = "", None
    lease = partial(_lease, holder, source, control=control, emissions=emissions, signal=signal)
    if discover.is_virtual(source):
        if given and all(index.isdecimal() for index in given):
            uuids = [discover.virtual_uuid(source, int(index)) for index in given]
            return GpuGroup.lease_all(map(lease, uuids))
        free = _free_simulated(source, simulated, partial(lease, exclusive=True))
        return GpuGroup.lease_all(free)
    try:
        here = discover.open_gpus(source)
    except NoDevice as error:
        return GpuGroup((), why_none=str(error))
    try:
        uuids = discover.resolve_uuids(source, given, here)
    finally:
        for gpu in here:
            gpu.close()
    if not uuids:
        raise BadInput(
            f"this trial was given no GPU, but its node has {len(here)}: pass "
            "resources_per_trial=zeus_ray.resources(), or {'cpu': 1, 'gpu': 1}; "
            "for workers of Ray Train, ScalingConfig(use_gpu=True)"
        )
    return GpuGroup.lease_all(map(lease, uuids))


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


def gpu_actor(source: str, uuid: str, node_id: str) -> Any:  # noqa: ANN401 — a Ray handle
    """The actor of GPU ``uuid`` on node ``node_id``, which is created if it does not run."""
    options = {
        "name": actor_name(uuid, node_id),
        "namespace": NAMESPACE,
        "lifetime": "detached",
        "get_if_exists": True,
        "num_cpus": 0,
        "num_gpus": 0,
        "max_restarts": -1,
        "max_task_retries": 2,
        "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=node_id, soft=False),
    }
    return ray.remote(GpuActor).options(**options).remote(source, uuid)


def actor_name(uuid: str, node_id: str) -> str:
    """The name by which the actor of a GPU is found."""
    return f"gpu-{__version__}-{uuid}@{node_id[:12]}"


class GpuActorClient(GpuLeaseService):
    """Calls the actor of GPU ``uuid`` on node ``node_id`` and waits for its answer.

    Args:
        source: ``nvml``, ``simulated:NAME`` or ``replay:DIR``.
        uuid: the GPU.
        node_id: the Ray node that has it.
        signal: the content of the file of the signal that prices the leases' energy.
    """

    def __init__(self, source: str, uuid: str, node_id: str, signal: JobSignal | None = None) -> None:
        self._signal = signal
        self.actor_name = actor_name(uuid, node_id)
        self._find = partial(gpu_actor, source, uuid, node_id)
        self._actor = self._find()

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

        def acquire(proof: str) -> Lease:
            lease: Lease = ray.get(
                self._actor.acquire.remote(
                    holder,
                    limit_w,
                    control=control,
                    exclusive=exclusive,
                    emissions=emissions,
                    proof=proof,
                    signal=self._signal,
                )
            )
            return lease

        with proof_of_process() as proof:
            try:
                return acquire(proof)
            except ray.exceptions.ActorDiedError:  # it was just ending, being idle
                self._actor = self._find()
                return acquire(proof)

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


def _lease(
    holder: HolderProcess,
    source: str,
    uuid: str,
    *,
    control: str,
    emissions: str,
    signal: JobSignal | None,
    exclusive: bool = False,
) -> LeasedGpu:
    """Lease one GPU of this node through its actor."""
    client = GpuActorClient(source, uuid, ray.get_runtime_context().get_node_id(), signal)
    service = AnsweringService(
        client, answer_within_s=ACTOR_ANSWERS_WITHIN_S, acquire_within_s=ACTOR_STARTS_WITHIN_S
    )
    lease = service.acquire(holder, control=control, exclusive=exclusive, emissions=emissions)
    return LeasedGpu(client if lease.virtual else service, lease, client.actor_name)


def _free_simulated(source: str, count: int, lease: partial[LeasedGpu]) -> Iterator[LeasedGpu]:
    """Lease the first ``count`` simulated GPUs that no other trial holds."""
    left = count
    for index in range(MAX_SIMULATED_PER_NODE):
        try:
            gpu = lease(discover.virtual_uuid(source, index))
        except LeaseRefused:
            continue
        yield gpu
        left -= 1
        if left == 0:
            return
    raise NoDevice(f"all {MAX_SIMULATED_PER_NODE} simulated GPUs of this node are leased")


def _reading(answer: Any) -> Reading:  # noqa: ANN401 — a Ray reference
    reading: Reading = ray.get(answer)
    return reading
