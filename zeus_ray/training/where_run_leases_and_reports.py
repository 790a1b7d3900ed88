"""Where a run takes place: which GPUs it leases, which attempts it had before, where it reports."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from zeus_ray.errors import DeviceError, LeaseRefused, NoDevice
from zeus_ray.gpus import discovery as discover
from zeus_ray.gpus.ask_many_gpus_at_once import each_within
from zeus_ray.gpus.protocol import Gpu
from zeus_ray.gpus.virtual_gpu_base import VirtualGpu
from zeus_ray.leases.carbon_aware_lease_manager import CarbonAwareLeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.records import Plan, to_json
from zeus_ray.training.leased_gpu_group import GpuGroup, LeasedGpu
from zeus_ray.training.training_run import TrainingRun
from zeus_ray.training.usage_of_earlier_attempts import AttemptLog


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """Where a run takes place: which GPUs it leases, which attempts it had before, where it reports.

    This one is a process without Ray; Ray Tune's trials and Ray Train's workers have subclasses.

    Attributes:
        run_type: makes the run, as :class:`TrainingRun` does.
        from_checkpoint: whether training continues from a checkpoint of an earlier attempt.
    """

    run_type: Callable[..., TrainingRun] = TrainingRun
    from_checkpoint: bool = False

    def lease(self, plan: Plan, gpus: int) -> GpuGroup:
        """Lease the run's GPUs; ``gpus``: how many, where the surroundings do not say.

        Raises:
            LeaseRefused: another trial holds a GPU for itself.
        """
        source, _control = gpu_settings(plan)
        try:
            opened = discover.open_gpus(source)
        except NoDevice as error:
            return GpuGroup((), why_none=str(error))
        return lease_here(discover.visible_gpus(source, os.environ, opened, gpus), plan)

    def attempts(self) -> AttemptLog:
        """The attempts of the trial; outside a trial there is only this one."""
        return AttemptLog()

    @property
    def name(self) -> str:
        """Of what may have one session at a time: this thread of the process."""
        return f"pid-{os.getpid()}-{threading.get_ident()}"

    def completed(self) -> None:
        """A session has come to its end, without an error."""


def lease_here(gpus: Sequence[Gpu], plan: Plan) -> GpuGroup:
    """Lease ``gpus`` for this process, which has their lease managers: all of them, or none.

    Raises:
        LeaseRefused: another trial holds a GPU for itself.
    """
    _source, control = gpu_settings(plan)
    holder = HolderProcess.current(f"pid-{os.getpid()}")
    emissions = emissions_json(plan)
    return GpuGroup.lease_all(LeasedGpu.local(_manager_of(gpu), holder, control, emissions) for gpu in gpus)


def _manager_of(gpu: Gpu) -> CarbonAwareLeaseManager:
    """Raises DeviceError where the GPU does not answer in time."""
    if isinstance(gpu, VirtualGpu):
        return CarbonAwareLeaseManager(gpu)
    (manager,) = each_within(
        discover.OPENED_WITHIN_S, [gpu.uuid], lambda _: CarbonAwareLeaseManager(gpu), otherwise=_raise
    )
    return manager


def _raise(_uuid: str, error: Exception) -> NoReturn:
    raise error


def lease_or_none(lease: Callable[[Plan, int], GpuGroup], plan: Plan, gpus: int) -> GpuGroup:
    """The GPUs that ``lease`` gives; none where one of them fails: the run trains without being measured.

    Raises:
        LeaseRefused: another trial holds a GPU for itself.
    """
    try:
        return lease(plan, gpus)
    except LeaseRefused:
        raise
    except DeviceError as error:
        return GpuGroup((), why_none=f"this run is not measured, and no limit is set: {error}")


def gpu_settings(plan: Plan) -> tuple[str, str]:
    """(source of GPUs, power control) for a run in this process: its environment's and the driver's."""
    source = os.environ.get(discover.GPU_VARIABLE) or plan.gpu_source or "nvml"
    return source, discover.strictest(discover.power_control(os.environ), plan.power_control)


def emissions_json(plan: Plan) -> str:
    """How the run's energy is priced, as a lease takes it; "" where it is not."""
    return to_json(plan.emissions) if plan.emissions else ""
