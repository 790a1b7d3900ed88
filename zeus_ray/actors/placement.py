"""Which GPUs a trial has, and their leases, through the GPUs' actors on the trial's own node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import ray

from zeus_ray.actors.gpu_actor_client import GpuActorClient
from zeus_ray.errors import BadInput, LeaseRefused, NoDevice
from zeus_ray.gpus import discovery as discover
from zeus_ray.leases.process import HolderProcess
from zeus_ray.training.gpu_group import GpuGroup, LeasedGpu

MAX_SIMULATED_PER_NODE = 1024


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
    lease = partial(_lease, holder, source, control=control, emissions=emissions)
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


def _lease(
    holder: HolderProcess, source: str, uuid: str, *, control: str, emissions: str, exclusive: bool = False
) -> LeasedGpu:
    """Lease one GPU of this node through its actor."""
    client = GpuActorClient(source, uuid, ray.get_runtime_context().get_node_id())
    lease = client.acquire(holder, control=control, exclusive=exclusive, emissions=emissions)
    return LeasedGpu(client, lease, client.actor_name)


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
