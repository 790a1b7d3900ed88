"""What a trial should ask Ray for."""

from __future__ import annotations

import ray
from ray.tune import PlacementGroupFactory

from zeus_ray.errors import NoDevice
from zeus_ray.gpus import discovery as discover


class DriverOnly(PlacementGroupFactory):  # type: ignore[misc]  # Ray is not typed
    """What a trial's function asks for that holds no GPU itself, on purpose."""


def resources(gpus: int = 1, cpus: int = 1) -> dict[str, float] | DriverOnly:
    """``resources_per_trial`` for a trial on ``gpus`` GPUs; no GPU where there is none.

    Asking Ray for a GPU on a machine without one waits for ever. On simulated or replayed boards a
    trial needs none. ``gpus=0``: the trial's function starts Ray Train, whose workers ask for GPUs; what
    it takes of the cluster's CPUs they do not have.
    """
    if gpus == 0:
        return DriverOnly([{"CPU": float(cpus)}])
    return {"cpu": float(cpus), "gpu": float(gpus if _has_gpus() else 0)}


def _has_gpus() -> bool:
    source = discover.gpu_source()
    if discover.is_virtual(source):
        return False
    if ray.is_initialized():
        return bool(ray.cluster_resources().get("GPU", 0))
    try:
        boards = discover.open_gpus(source)
    except NoDevice:
        return False
    for board in boards:
        board.close()
    return bool(boards)
