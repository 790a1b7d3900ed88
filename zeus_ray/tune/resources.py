"""The Ray resources of a trial."""

from __future__ import annotations

import logging
from numbers import Integral

import ray
from ray.tune import PlacementGroupFactory
from ray.tune.experiment import Trial

from zeus_ray.errors import BadInput, NoDevice
from zeus_ray.gpus import discovery

logger = logging.getLogger("zeus_ray")


class DriverOnlyResources(PlacementGroupFactory):  # type: ignore[misc]  # Ray is not typed
    """The resources of a trial that starts Ray Train: its workers have the GPUs, and it has none."""


def resources(gpus: int = 1, cpus: int = 1) -> dict[str, float] | DriverOnlyResources:
    """``resources_per_trial`` for a trial on ``gpus`` GPUs; without a GPU in the cluster it asks for none.

    (Ray would wait for ever for a GPU that is not there.) On simulated or replayed GPUs a trial needs none.

    Args:
        gpus: GPUs of the trial. 0: its function starts Ray Train, whose workers ask for the GPUs.
        cpus: CPUs of the trial; with ``gpus=0`` those of its function alone, which its workers cannot use.

    Raises:
        BadInput: less than 0, or a part of a GPU.
    """
    for name, count, least in (("gpus", gpus, 0), ("cpus", cpus, 1)):
        if isinstance(count, bool) or not isinstance(count, Integral) or count < least:
            raise BadInput(f"{name} is {count!r}; allowed: whole numbers, {least} or more")
    if gpus == 0:
        return DriverOnlyResources([{"CPU": float(cpus)}])
    return {"cpu": float(cpus), "gpu": float(gpus if _has_gpus() else 0)}


def check_resources(trial: Trial, *, shared_is_asked: bool) -> None:
    """Check before the first trial of an experiment that its GPUs can be metered.

    Args:
        trial: it has the resources of all.
        shared_is_asked: trials count although they share a GPU.

    Raises:
        BadInput: no GPU on a cluster that has GPUs: the trials would measure nothing.
    """
    if isinstance(trial.placement_group_factory, DriverOnlyResources):
        return  # its workers have the GPUs
    requested = trial.placement_group_factory.required_resources.get("GPU", 0)
    if requested % 1 and not shared_is_asked:
        logger.warning(
            "zeus-ray: trials ask for %g GPU, so several share one: their energy cannot be told apart, no "
            "limit is set, and no result counts for the search. Ask for whole GPUs (zeus_ray.resources()), "
            "or pass ZeusSearcher(count_shared=True) to search on time and on equal shares of the energy",
            requested,
        )
    present = ray.cluster_resources().get("GPU", 0) if ray.is_initialized() else 0
    if present and not requested and not discovery.is_virtual(discovery.gpu_source()):
        raise BadInput(
            f"trials ask for no GPU, but the cluster has {present:g}: pass "
            "resources_per_trial=zeus_ray.resources(), or tune.with_resources(train, zeus_ray.resources()); "
            "if the trial starts Ray Train, zeus_ray.resources(gpus=0)"
        )


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
