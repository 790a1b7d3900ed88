"""``zeus.session``: the context manager a training function adds, under Ray Tune or anywhere else."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from zeus_ray.errors import NoDevice
from zeus_ray.gpus import discovery as discover
from zeus_ray.leases.carbon_aware_limit import CarbonAwareLeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.records import NAN, Plan, StopReason, Target, to_json
from zeus_ray.training.attempts import AttemptLog
from zeus_ray.training.gpu_group import GpuGroup, LeasedGpu
from zeus_ray.training.plan_builder import plan_from_config
from zeus_ray.training.run import TrainingRun
from zeus_ray.tune.trial_context import TrialContext

log = logging.getLogger("zeus_ray")

OUT_OF_MEMORY = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "HIP out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator: can't allocate memory",
    "No executable batch size found",
)
"""What plain RuntimeErrors say: of drivers and libraries below torch, of its CPU allocator, of Accelerate."""


def session(
    config: Mapping[str, Any] | None = None,
    *,
    batch_size: int | None = None,
    power_limit_w: float | None = None,
    power_limits_w: Sequence[float] | None = None,
    eta: float | None = None,
    target: Target | None = None,
    gpus: int = 1,
    window_s: float = 5.0,
    settle_s: float = 1.0,
) -> AbstractContextManager[TrainingRun]:
    """Lease this run's GPUs, set or find the power limit, meter; give everything back at the end.

    Under :class:`ZeusSearcher` the config says it all; the arguments are for everything else:
    another searcher, a script, a notebook cell.

    Args:
        config: the trial's config; ``config["zeus"]`` is the search's plan, ``config["batch_size"]``
            the batch size without one.
        batch_size: samples per step over all GPUs, where the config does not say.
        power_limit_w: run at this limit (W per GPU).
        power_limits_w: profile these limits (W per GPU) and run on at the best one; () leaves the
            limit as it is. Neither of the two, and no plan: the board's own range is profiled.
        eta: weight of energy against time, 0 to 1 (Zeus, Eq. 2; default 0.5).
        target: when the run has reached its goal; sets ``run.stop``.
        gpus: boards to lease where neither Ray nor CUDA_VISIBLE_DEVICES says.
        window_s: seconds measured per probed limit.
        settle_s: seconds discarded after each change of limit.

    Raises:
        BadInput: no batch size, a limit outside the board's range, a GPU machine but no GPU asked for.
        LeaseRefused: another trial holds the board at another limit.
    """
    plan = plan_from_config(
        config or {},
        batch_size=batch_size,
        power_limit_w=power_limit_w,
        power_limits_w=power_limits_w,
        eta=eta,
        target=target,
    )
    return open_session(plan, TrialContext.current(), gpus=gpus, window_s=window_s, settle_s=settle_s)


@contextmanager
def open_session(
    plan: Plan,
    context: TrialContext | None,
    *,
    gpus: int = 1,
    window_s: float = 5.0,
    settle_s: float = 1.0,
    kind: Callable[..., TrainingRun] | None = None,
) -> Iterator[TrainingRun]:
    """:func:`session` with its plan and its trial already known. ``kind``: makes the run."""
    boards = leased(plan, context, gpus)
    try:
        kind = kind or (TrainingRun if context is None else TuneRun)
        run = kind(plan, boards, ledger=books(context, boards), window_s=window_s, settle_s=settle_s)
        if context and context.resumed:
            run.go_on()
        else:
            run.begin()
        if run.note:
            log.warning("zeus-ray: %s", run.note)
        try:
            yield run
        except Exception as error:
            if plan.target is None or not is_out_of_memory(error):
                raise
            # A batch size that does not fit is an answer, not a failed experiment.
            log.warning("zeus-ray: batch size %d does not fit: %s", run.batch_size, error)
            run.stop = StopReason.OUT_OF_MEMORY
            run.report({plan.target.metric: NAN})
        finally:
            if run.advice:
                log.warning("zeus-ray: %s", run.advice)
    finally:
        boards.release()


class TuneRun(TrainingRun):
    """A run that reports to Ray Tune, and ends its trial there when it should stop."""

    def send(self, result: dict[str, Any], **options: Any) -> None:  # noqa: ANN401 — Tune's own
        """Hand the result to ``tune.report``; does not return when the trial ends there."""
        from ray import tune  # noqa: PLC0415 — already loaded: we are inside a trial

        tune.report({**result, "done": True} if self.stop else result, **options)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the GPU's memory was too small: torch's error, one that wraps it, or one that says so."""
    torch = sys.modules.get("torch")
    kinds = (torch.OutOfMemoryError,) if torch is not None else ()
    cause: BaseException | None = error
    while cause is not None:
        said = str(cause) if isinstance(cause, RuntimeError) else ""
        if isinstance(cause, kinds) or any(words in said for words in OUT_OF_MEMORY):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def books(context: TrialContext | None, boards: GpuGroup) -> AttemptLog:
    """The trial's ledger; without a trial, or a folder of its, one of this attempt only."""
    if context is None or context.folder is None:
        return AttemptLog.open(None)
    from zeus_ray.actors.placement import last_reading  # noqa: PLC0415 — needs Ray

    ledger = AttemptLog.open(context.folder, ask=last_reading)
    ledger.held = boards.held
    return ledger


def leased(plan: Plan, context: TrialContext | None, gpus: int = 1) -> GpuGroup:
    """This run's boards: through actors under Ray, in this process elsewhere."""
    source = os.environ.get(discover.GPU_VARIABLE) or plan.gpu_source or "nvml"
    control = discover.strictest(discover.power_control(os.environ), plan.power_control)
    footprint = to_json(plan.footprint) if plan.footprint else ""
    if context is not None:
        from zeus_ray.actors.placement import lease_boards  # noqa: PLC0415 — needs Ray

        holder = HolderProcess.current(context.trial_id)
        return lease_boards(
            holder,
            source=source,
            control=control,
            given=context.gpu_ids,
            simulated=gpus,
            footprint=footprint,
        )
    try:
        opened = discover.open_gpus(source)
    except NoDevice as error:
        return GpuGroup((), why_none=str(error))
    chosen = discover.visible_gpus(source, os.environ, opened)[:gpus]
    holder = HolderProcess.current(f"pid-{os.getpid()}")
    return GpuGroup(
        [LeasedGpu.local(CarbonAwareLeaseManager(board), holder, control, footprint) for board in chosen]
    )
