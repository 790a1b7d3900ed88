"""Which boards a trial has, and the actors that keep them: found or created on the trial's own node."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from zeus_ray import __version__
from zeus_ray.actors import NAMESPACE
from zeus_ray.actors.gpu_actor import GpuActor
from zeus_ray.errors import BadInput, DeviceError, LeaseRefused, NoDevice
from zeus_ray.gpus import discovery as discover
from zeus_ray.leases.process import HolderProcess
from zeus_ray.training.attempts import AttemptUsage, Held
from zeus_ray.training.gpu_group import GpuGroup, LeasedGpu

MAX_SIMULATED_PER_NODE = 1024
ANSWER_WITHIN_S = 5.0

log = logging.getLogger("zeus_ray")


def lease_boards(
    holder: HolderProcess,
    *,
    source: str,
    control: str,
    given: Sequence[str],
    simulated: int = 1,
    footprint: str = "",
) -> GpuGroup:
    """Lease the boards Ray gave this trial.

    Args:
        holder: the trial, and the process whose end ends the lease.
        source: ``nvml``, ``simulated:NAME`` or ``replay:DIR``.
        control: ``auto`` or ``off``, the strictest of driver and trial; the node's own counts too.
        given: Ray's accelerator ids of this trial, indices or UUIDs.
        simulated: how many simulated boards to take where Ray gave no GPU.
        footprint: JSON of what prices this trial's energy; "" for no price.

    Raises:
        BadInput: a node with GPUs, of which this trial was given none.
        LeaseRefused: another trial wants a board for itself.
    """
    if discover.is_virtual(source):
        return GpuGroup(_virtual_boards(holder, source, control, given, count=simulated, footprint=footprint))
    try:
        boards = discover.open_boards(source)
    except NoDevice as error:
        return GpuGroup((), why_none=str(error))
    names = [board.uuid for board in boards]
    try:
        mine = discover.resolve(given, boards)
    finally:
        for board in boards:
            board.close()
    if not mine:
        raise BadInput(
            f"this trial was given no GPU, but its node has {len(names)}: pass "
            "resources_per_trial=zeus_ray.resources(), or {'cpu': 1, 'gpu': 1}; "
            "for workers of Ray Train, ScalingConfig(use_gpu=True)"
        )
    return GpuGroup(_lease_all(mine, holder, source, control, footprint=footprint))


def gpu_actor(source: str, uuid: str, node_id: str) -> Any:  # noqa: ANN401 — a Ray handle
    """The actor that keeps board ``uuid`` of node ``node_id``; created if it is not there."""
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
    """What the actor of a board is found by."""
    return f"gpu-{__version__}-{uuid}@{node_id[:12]}"


def last_reading(held: Held) -> AttemptUsage | None:
    """What an attempt's leases used to their end, as their boards' actors remember; None if one does not."""
    try:
        readings = [
            ray.get(_ended(ray.get_actor(name, namespace=NAMESPACE), lease_id), timeout=ANSWER_WITHIN_S)
            for name, lease_id in held
        ]
    except (ValueError, DeviceError, ray.exceptions.RayError) as error:
        log.info("zeus-ray: what an earlier attempt used after its last report is not known: %s", error)
        return None
    return AttemptUsage(
        energy_j=math.fsum(reading.energy_j for reading in readings),
        time_s=max(reading.time_s for reading in readings),
        carbon_g=math.fsum(reading.carbon_g for reading in readings),
    )


def _ended(actor: Any, lease_id: str) -> Any:  # noqa: ANN401 — Ray's handle and reference
    actor.call.remote("reap")  # its process may have died a moment ago
    return actor.call.remote("read", lease_id)


def _lease_all(
    uuids: Iterable[str], holder: HolderProcess, source: str, control: str, *, footprint: str
) -> list[LeasedGpu]:
    """All of them, or none."""
    leased: list[LeasedGpu] = []
    try:
        for uuid in uuids:
            leased.append(_lease(uuid, holder, source, control, footprint=footprint))  # noqa: PERF401 — to know which were, if one is not
    except Exception:
        GpuGroup(leased).release()
        raise
    return leased


def _lease(uuid: str, holder: HolderProcess, source: str, control: str, **options: object) -> LeasedGpu:
    """Lease one board through its actor."""
    try:
        return _acquire(uuid, holder, source, control, **options)
    except ray.exceptions.ActorDiedError:  # it was just leaving: the next call creates it again
        return _acquire(uuid, holder, source, control, **options)


def _acquire(uuid: str, holder: HolderProcess, source: str, control: str, **options: object) -> LeasedGpu:
    node_id = ray.get_runtime_context().get_node_id()
    actor = gpu_actor(source, uuid, node_id)

    def call(method: str, *arguments: object, **keywords: object) -> Any:  # noqa: ANN401 — see LeasedGpu
        return ray.get(actor.call.remote(method, *arguments, **keywords))

    return LeasedGpu(call, call("acquire", holder, control=control, **options), actor_name(uuid, node_id))


def _virtual_boards(
    holder: HolderProcess, source: str, control: str, given: Sequence[str], *, count: int, footprint: str
) -> list[LeasedGpu]:
    """A simulated board belongs to one trial: those Ray numbered, or the first that are free."""
    if given and all(index.isdecimal() for index in given):
        uuids = (discover.virtual_uuid(source, int(i)) for i in given)
        return _lease_all(uuids, holder, source, control, footprint=footprint)
    found: list[LeasedGpu] = []
    for index in range(MAX_SIMULATED_PER_NODE):
        try:
            uuid = discover.virtual_uuid(source, index)
            found.append(_lease(uuid, holder, source, control, exclusive=True, footprint=footprint))
        except LeaseRefused:
            continue
        if len(found) == count:
            return found
    raise NoDevice(f"all {MAX_SIMULATED_PER_NODE} simulated boards of this node are taken")
