"""The Ray resources of a trial."""

from __future__ import annotations

import ray
from ray.tune import PlacementGroupFactory

from zeus_ray.errors import NoDevice
from zeus_ray.gpus import discovery


class DriverOnlyResources(PlacementGroupFactory):  # type: ignore[misc]  # Ray is not typed
    """The resources of a trial that starts Ray Train: its workers have the GPUs, and it has none."""


def resources(gpus: int = 1, cpus: int = 1) -> dict[str, float] | DriverOnlyResources:
    """``resources_per_trial`` for a trial on ``gpus`` GPUs; without a GPU in the cluster it asks for none.

    (Ray would wait for ever for a GPU that is not there.) On simulated or replayed GPUs a trial needs none.

    Args:
        gpus: GPUs of the trial. 0: its function starts Ray Train, whose workers ask for the GPUs.
        cpus: CPUs of the trial; with ``gpus=0`` those of its function alone, which its workers cannot use.
    """
    if gpus == 0:
        return DriverOnlyResources([{"CPU": float(cpus)}])
    return {"cpu": float(cpus), "gpu": float(gpus if _has_gpus() else 0)}


def _has_gpus() -> bool:
    source = discovery.gpu_source()
    if discovery.is_virtual(source):
        return False
    if ray.is_initialized():
        return bool(ray.cluster_resources().get("GPU", 0))
    try:
        found = discovery.open_gpus(source)
    except NoDevice:
        return False
    for gpu in found:
        gpu.close()
    return bool(found)
