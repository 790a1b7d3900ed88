"""Ray Train: one power limit on all GPUs of a ``TorchTrainer`` job, metered and profiled as one.

Each worker leases its own GPU and reads it. At the edges of profiled windows, and where the cost is looked
at, the workers tell one another what they read, through ``torch.distributed``: energy is summed,
time is the longest, and all of them take the same decision at the same step.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ray.train
import torch.distributed
from ray.train import Checkpoint
from ray.tune.integration.ray_train import TuneReportCallback

from zeus_ray.errors import BadInput, DoesNotFit
from zeus_ray.records import NAN, Plan, StopReason, Target, TrialReport
from zeus_ray.training.attempts import AttemptLog
from zeus_ray.training.gpu_group import GpuGroup
from zeus_ray.training.plan_builder import plan_from_config
from zeus_ray.training.ranks import DistributedGpuGroup
from zeus_ray.training.run import TrainingRun
from zeus_ray.tune.session import books, is_out_of_memory, leased
from zeus_ray.tune.trial_context import TrialCallback, TrialContext

log = logging.getLogger("zeus_ray")


@contextmanager
def session(
    config: Mapping[str, Any] | None = None,
    *,
    batch_size: int | None = None,
    power_limit_w: float | None = None,
    power_limits_w: Sequence[float] | None = None,
    eta: float | None = None,
    target: Target | None = None,
    window_s: float = 5.0,
    settle_s: float = 1.0,
) -> Iterator[RayTrainRun]:
    """:func:`zeus_ray.session` for the training function of a ``TorchTrainer``; every worker opens it.

    Args: as there. The batch size is that of a step over all workers.

    Raises:
        BadInput: as there; or a batch size that the workers cannot share out equally.
        DoesNotFit: a worker ran out of memory. :class:`ZeusCallback` makes it an answer of the trial.
    """
    plan = plan_from_config(
        config or {},
        batch_size=batch_size,
        power_limit_w=power_limit_w,
        power_limits_w=power_limits_w,
        eta=eta,
        target=target,
    )
    trial = TrialContext.of_worker()
    mine = leased(plan, trial)
    try:
        boards = DistributedGpuGroup(mine, everyones)
        run = RayTrainRun(
            plan, boards, ledger=_shared_books(trial, boards), window_s=window_s, settle_s=settle_s
        )
        if trial.resumed:
            run.go_on()
        else:
            run.begin()
        if run.note and run.rank == 0:
            log.warning("zeus-ray: %s", run.note)
        try:
            yield run
        except _Ended:
            pass  # in every worker alike, after the same report
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise _does_not_fit(run, mine.read().time_s, error) from error
    finally:
        mine.release()


class RayTrainRun(TrainingRun):
    """The run of one job, as each of its workers has it: the same numbers, the same decisions."""

    def __init__(self, plan: Plan, boards: DistributedGpuGroup, **options: Any) -> None:  # noqa: ANN401 — Run's
        super().__init__(plan, boards, **options)
        self.rank = int(torch.distributed.get_rank())
        self.workers = int(torch.distributed.get_world_size())
        if len(boards) and plan.gpus not in (None, len(boards)):
            raise BadInput(
                f"the search reckons with gpus={plan.gpus} a trial, but this job has {len(boards)}: "
                f"give ZeusSearcher gpus={len(boards)}"
            )
        if super().micro_batch_size % self.workers:
            raise BadInput(
                f"{super().micro_batch_size} samples are to be shared out over {self.workers} workers; "
                "allowed batch sizes: multiples of their number"
            )

    @property
    def micro_batch_size(self) -> int:
        """Samples that go through the model at once in this worker: its share."""
        return super().micro_batch_size // self.workers

    def send(self, result: dict[str, Any], checkpoint: Checkpoint | None = None, **options: Any) -> None:  # noqa: ANN401 — Ray Train's own
        """Hand the result to ``ray.train.report``; does not return when the job ends there."""
        ray.train.report(result, checkpoint=checkpoint, **options)
        if self.stop:
            raise _Ended

    def _metric(self, metrics: Mapping[str, Any]) -> float:
        """Rank 0's: workers that evaluate their own share would not agree on when to stop."""
        return float(everyones(super()._metric(metrics))[0])


class ZeusCallback(TuneReportCallback, TrialCallback):  # type: ignore[misc]  # Ray is not typed
    """Give it to ``RunConfig(callbacks=[...])``: reports go to Ray Tune, with what all workers used.

    Made in the function of a trial, it remembers the trial for the workers, whose energy is added to
    that of earlier attempts. A worker that runs out of memory ends the trial with that answer, where
    the search has a target. Outside Ray Tune it does nothing.
    """

    def __init__(self) -> None:
        TrialCallback.__init__(self)
        if self.trial is not None:
            TuneReportCallback.__init__(self)

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:  # noqa: ANN401 — Ray's
        """Rank 0's report: its joules and seconds are all workers'."""
        if self.trial is not None:
            super().after_report(run_context, metrics, checkpoint)

    def after_exception(self, run_context: Any, worker_exceptions: Mapping[int, Exception]) -> None:  # noqa: ANN401 — Ray's
        """A worker has failed: a batch size that does not fit is an answer, not a failed trial."""
        target = plan_from_config(run_context.train_loop_config or {}, batch_size=1).target
        causes = [getattr(error, "_base_exc", error) for error in worker_exceptions.values()]
        found = next((cause for cause in causes if isinstance(cause, DoesNotFit)), None)
        if self.trial is not None and target is not None and found is not None:
            self._training_actor_item_queue.put({target.metric: NAN, **found.result, "done": True})


class _Ended(BaseException):
    """Leaves the training function of a worker, past whatever it catches."""


def everyones(mine: Any) -> list[Any]:  # noqa: ANN401 — small values of any type
    """Every worker's value, in the order of their ranks. Waits for all of them."""
    values: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, mine)
    return values


def _shared_books(trial: TrialContext, boards: GpuGroup) -> AttemptLog:
    """Rank 0 keeps the books of the trial; the others know what they begin with."""
    mine = books(trial, boards) if torch.distributed.get_rank() == 0 else AttemptLog.open(None)
    first: AttemptLog = everyones(replace(mine, folder=None))[0]
    return mine if mine.folder else first


def _does_not_fit(run: RayTrainRun, time_s: float, error: Exception) -> DoesNotFit:
    """What a worker that ran out of memory knows by itself: the others wait for it and cannot be asked.

    Ray Train hands on an error alone, without its causes: the outermost must tell.
    """
    report = TrialReport(
        run_id=run.plan.knobs.run_id,
        batch_size=run.batch_size,
        time_s=time_s,
        stop_reason=StopReason.OUT_OF_MEMORY.value,
        gpu=run.gpu,
        measured_by=run.measured_by,
    )
    return DoesNotFit(f"batch size {run.batch_size} does not fit: {error}", report.to_result())
