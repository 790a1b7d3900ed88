"""``zeus.session``, the context manager of a training function: its plan, its GPUs, its run."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from zeus_ray.errors import BadInput, DeviceError, LeaseRefused, NoDevice
from zeus_ray.gpus import discovery as discover
from zeus_ray.leases.carbon_aware_limit import CarbonAwareLeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.objective import eta_or_default
from zeus_ray.records import RESERVED, EmissionsConfig, Knobs, Plan, Target, from_plain, read_carried, to_json
from zeus_ray.training.attempts import AttemptLog
from zeus_ray.training.frameworks import imported_frameworks, is_out_of_memory
from zeus_ray.training.gpu_group import GpuGroup, LeasedGpu
from zeus_ray.training.run import TrainingRun

logger = logging.getLogger("zeus_ray")


def session(
    config: Mapping[str, Any] | None = None,
    *,
    batch_size: int | None = None,
    power_limit_w: float | None = None,
    power_limits_w: Sequence[float] | None = None,
    eta: float | None = None,
    max_slowdown: float | None = None,
    target: Target | None = None,
    accumulate: int | None = None,
    gpus: int = 1,
    window_s: float = 5.0,
    settle_s: float = 1.0,
) -> AbstractContextManager[TrainingRun]:
    """Lease this run's GPUs, set or find the power limit, measure energy; restore everything at the end.

    In a trial of Ray Tune the run reports to Tune; elsewhere, such as in a script or a notebook, it is a run
    of its own. Under :class:`ZeusSearcher` the config says everything; the arguments are for other searchers
    and for runs without a search.

    Args:
        config: the trial's config: ``config["zeus"]`` is the search's plan, ``config["batch_size"]`` the
            batch size without one.
        batch_size: samples per step over all GPUs, where the config does not say.
        power_limit_w: run at this limit (W per GPU).
        power_limits_w: profile these limits (W per GPU) and continue at the best one; () leaves the limit as
            it is. With neither of the two and no plan, the GPU's own range is profiled.
        eta: weight of energy against time, 0 to 1 (Zeus, Eq. 2); None: 0.5, or 1 with ``max_slowdown``.
        max_slowdown: choose only among limits at most this many times as slow as the fastest one; without
            ``eta``, the one of least energy. None: any.
        target: the metric value that counts as trained; reaching it sets ``run.stop``.
        accumulate: micro-batches per optimizer step, where the script accumulates gradients itself: it gives
            its loader ``run.micro_batch_size``, and steps the optimizer where ``run.step_ends``.
        gpus: GPUs to lease where neither Ray nor CUDA_VISIBLE_DEVICES says.
        window_s: seconds measured per probed limit.
        settle_s: seconds discarded after each change of limit.

    Raises:
        BadInput: no batch size, a limit outside the GPU's range, a trial without GPU on a node with GPUs.
        LeaseRefused: another trial holds the GPU at another limit.
    """
    plan = plan_from_config(
        config or {},
        batch_size=batch_size,
        power_limit_w=power_limit_w,
        power_limits_w=power_limits_w,
        eta=eta,
        max_slowdown=max_slowdown,
        target=target,
        accumulate=accumulate,
    )
    context = current_context()
    return open_session(plan, context, config=config, gpus=gpus, window_s=window_s, settle_s=settle_s)


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
        source, control = gpu_settings(plan)
        try:
            opened = discover.open_gpus(source)
        except NoDevice as error:
            return GpuGroup((), why_none=str(error))
        holder = HolderProcess.current(f"pid-{os.getpid()}")
        chosen = discover.visible_gpus(source, os.environ, opened)[:gpus]
        emissions = emissions_json(plan)
        return GpuGroup.lease_all(
            LeasedGpu.local(CarbonAwareLeaseManager(gpu), holder, control, emissions) for gpu in chosen
        )

    def attempts(self) -> AttemptLog:
        """The attempts of the trial; outside a trial there is only this one."""
        return AttemptLog()


def current_context() -> RunContext:
    """Where a run of this process takes place, as the imported frameworks know."""
    found = (framework.context() for framework in imported_frameworks())
    return next((context for context in found if context is not None), RunContext())


@contextmanager
def open_session(
    plan: Plan,
    context: RunContext,
    *,
    config: Mapping[str, Any] | None = None,
    gpus: int = 1,
    window_s: float = 5.0,
    settle_s: float = 1.0,
) -> Iterator[TrainingRun]:
    """:func:`session` for a known plan and context."""
    group = lease_or_none(context.lease, plan, gpus)
    try:
        run = context.run_type(plan, group, attempts=context.attempts(), window_s=window_s, settle_s=settle_s)
        run.config = without_reserved(config or {})
        run.begin(from_checkpoint=context.from_checkpoint)
        run.warn_once(run.note)
        try:
            yield run
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            logger.warning("zeus-ray: batch size %d does not fit: %s", run.batch_size, error)
            run.out_of_memory(error)
        finally:
            for note in (run.unfinished, run.advice):
                run.warn_once(note)
    finally:
        group.release()


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


def plan_from_config(
    config: Mapping[str, Any],
    *,
    batch_size: int | None = None,
    power_limit_w: float | None = None,
    power_limits_w: Sequence[float] | None = None,
    eta: float | None = None,
    max_slowdown: float | None = None,
    target: Target | None = None,
    accumulate: int | None = None,
) -> Plan:
    """The search's plan where the config has one; else one from the arguments of :func:`session`.

    Raises:
        BadInput: no positive whole batch size, or one that cannot be accumulated; eta outside 0 to 1;
            max_slowdown below 1.
    """
    carried = read_carried(config)
    if "knobs" in carried:
        planned = from_plain(Plan, carried)
        if accumulate not in (None, planned.knobs.accumulate):
            raise BadInput(
                f"accumulate is {accumulate}, but the search has set {planned.knobs.accumulate}: leave it "
                "out, and use run.micro_batch_size and run.step_ends"
            )
        return planned
    size = batch_size or config.get("batch_size")
    if not isinstance(size, int) or size < 1:
        raise BadInput(
            f"batch size is {size!r}; give a positive whole number as config['batch_size'] or batch_size="
        )
    parts = 1 if accumulate is None else accumulate
    if not isinstance(parts, int) or parts < 1 or size % parts:
        raise BadInput(f"accumulate is {parts!r}; allowed: a whole number that divides the batch size {size}")
    eta = eta_or_default(eta, max_slowdown)
    if target is None and carried.get("target"):
        target = from_plain(Target, carried["target"])
    emissions = carried.get("emissions")
    knobs = Knobs(
        run_id="",
        batch_size=size,
        power_limit_w=power_limit_w,
        probe_limits_w=None if power_limits_w is None else tuple(float(w) for w in power_limits_w),
        accumulate=parts,
    )
    return Plan(
        knobs=knobs,
        eta=eta,
        max_slowdown=max_slowdown,
        target=target,
        default_batch_size=size,
        power_control=carried.get("power_control", "auto"),
        gpu_source=carried.get("gpu_source", ""),
        emissions=from_plain(EmissionsConfig, emissions) if emissions else None,
    )


def without_reserved(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` without our entry, for a library that takes every entry for a parameter of its own."""
    return {name: value for name, value in config.items() if name != RESERVED}


def carried_settings() -> dict[str, str]:
    """Settings of the driver's environment that a trial on another machine must know: fields of its plan."""
    return {
        "power_control": discover.power_control(os.environ),
        "gpu_source": os.environ.get(discover.GPU_VARIABLE, ""),
    }
