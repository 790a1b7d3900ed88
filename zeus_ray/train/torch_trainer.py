"""Ray Train: one power limit on all GPUs of a ``TorchTrainer`` job, metered and profiled as one run.

Each worker leases and reads its own GPU. At the edges of profiled windows, and where the cost is checked, the
workers exchange their readings through ``torch.distributed``: energy is summed, time is the longest, and all
of them take the same decision at the same step.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import ray.train
import torch.distributed
from ray.train import Checkpoint
from ray.tune.integration.ray_train import TuneReportCallback

from zeus_ray.errors import BadInput, DoesNotFit
from zeus_ray.records import NAN, OnlineOptions, Plan, StopReason, Target, TrialReport
from zeus_ray.train.refuse_returned_fit_result import refuse_returned_fit
from zeus_ray.training.gpu_group_over_ranks import DistributedGpuGroup
from zeus_ray.training.leased_gpu_group import GpuGroup
from zeus_ray.training.online_limit.kept_limit_profile import DEFAULT_HISTORY
from zeus_ray.training.plan_from_config_or_arguments import plan_from_config
from zeus_ray.training.session import open_session
from zeus_ray.training.training_run import TrainingRun
from zeus_ray.training.usage_of_earlier_attempts import AttemptLog
from zeus_ray.training.where_run_leases_and_reports import lease_or_none
from zeus_ray.tune.run_in_tune_trial import TrialCallback, TrialContext


@contextmanager
def session(
    config: Mapping[str, Any] | None = None,
    *,
    batch_size: int | None = None,
    power_limit_w: float | None = None,
    power_limits_w: Sequence[float] | None = None,
    eta: float | None = None,
    target: Target | None = None,
    accumulate: int | None = None,
    max_slowdown: float | None = None,
    power_budget_w: float | None = None,
    unit: Literal["steps", "samples", "tokens"] = "steps",
    job: str = "",
    history: str | os.PathLike[str] = DEFAULT_HISTORY,
    stage: int = 0,
    window_s: float = 5.0,
    settle_s: float = 1.0,
) -> Iterator[RayTrainRun]:
    """:func:`zeus_ray.session` for the training function of a ``TorchTrainer``; every worker opens it.

    Args: as there. The batch size is that of a step over all workers; without a search they choose the power
    limit together, while they train.

    Raises:
        BadInput: as there; or a batch size that is no multiple of the number of workers.
        DoesNotFit: a worker ran out of memory. :class:`ZeusCallback` makes it a result of the trial.
    """
    plan = plan_from_config(
        config or {},
        batch_size=batch_size,
        power_limit_w=power_limit_w,
        power_limits_w=power_limits_w,
        eta=eta,
        target=target,
        accumulate=accumulate,
        max_slowdown=max_slowdown,
        online=OnlineOptions(
            unit=unit, power_budget_w=power_budget_w, stage=stage, job=job, history=os.fspath(history)
        ),
    )
    context = WorkerContext.of_worker()
    with open_session(plan, context, config=config, window_s=window_s, settle_s=settle_s) as run:
        assert isinstance(run, RayTrainRun)  # noqa: S101 — for the type checker: the context's run_type
        with suppress(_Ended):  # in every worker alike, after the same report
            yield run


class RayTrainRun(TrainingRun):
    """The run of one job, as each of its workers has it: the same numbers, the same decisions."""

    strict_metric = False  # an error in one worker would leave the others waiting

    def __init__(self, plan: Plan, group: DistributedGpuGroup, **options: Any) -> None:  # noqa: ANN401 — TrainingRun's
        super().__init__(plan, group, **options)
        self.rank = int(torch.distributed.get_rank())
        self.workers = self.processes = int(torch.distributed.get_world_size())
        self.logs_notes = self.rank == 0
        self._mine = group.mine
        if len(group) and plan.gpus not in (None, len(group)):
            raise BadInput(
                f"the search was given gpus={plan.gpus} per trial, but this job has {len(group)}: "
                f"give ZeusSearcher gpus={len(group)}"
            )
        if super().micro_batch_size % self.workers:
            raise BadInput(
                f"{super().micro_batch_size} samples per step cannot be split over {self.workers} workers; "
                "allowed batch sizes: multiples of the number of workers"
            )

    @property
    def micro_batch_size(self) -> int:
        """Samples that go through the model at once in this worker: its share."""
        return super().micro_batch_size // self.workers

    def send(self, result: dict[str, Any], checkpoint: Checkpoint | None = None, **options: Any) -> None:  # noqa: ANN401 — Ray Train's own
        """Pass the result to ``ray.train.report``; does not return when the job ends there."""
        ray.train.report(result, checkpoint=checkpoint, **options)
        if self.stop:
            raise _Ended

    def out_of_memory(self, error: Exception) -> None:
        """End the job with what this worker knows by itself: the others wait for it and cannot be asked.

        Raises:
            DoesNotFit: always. Ray Train passes on an error without its causes, so it carries the report.
        """
        report = TrialReport(
            run_id=self.plan.knobs.run_id,
            batch_size=self.batch_size,
            time_s=self._mine.read().time_s,
            stop_reason=StopReason.OUT_OF_MEMORY.value,
            gpu=self.gpu,
            measured_by=self.measured_by,
        )
        raise DoesNotFit(f"batch size {self.batch_size} does not fit: {error}", report.to_result()) from error

    def _metric(self, metrics: Mapping[str, Any]) -> float:
        """Rank 0's: workers that evaluate only their own share would not agree on when to stop."""
        return float(everyones(super()._metric(metrics))[0])


@dataclass(frozen=True, kw_only=True)
class WorkerContext(TrialContext):
    """A worker of Ray Train: it leases its own GPU, and the group is of all workers."""

    run_type: Callable[..., TrainingRun] = RayTrainRun

    def lease(self, plan: Plan, gpus: int) -> GpuGroup:
        """Lease this worker's GPU, and exchange the leases with the other workers."""
        mine = lease_or_none(super().lease, plan, gpus)
        try:
            return DistributedGpuGroup(mine, everyones)
        except BaseException:
            mine.release()
            raise

    def attempts(self) -> AttemptLog:
        """Rank 0 reads and writes the attempt log; the other workers know what it says at the start."""
        mine = super().attempts() if torch.distributed.get_rank() == 0 else AttemptLog()
        first: AttemptLog = everyones(replace(mine, folder=None))[0]
        return mine if mine.folder else first


class ZeusCallback(TuneReportCallback, TrialCallback):  # type: ignore[misc]  # Ray is not typed
    """Give it to ``RunConfig(callbacks=[...])``: reports go to Ray Tune, with what all workers used.

    Made in the function of a trial, it tells the workers the trial, to whose earlier attempts their energy is
    added. A worker that runs out of memory ends the trial with that result, where the search has a target.
    Outside Ray Tune it does nothing.

    Raises:
        BadInput: the function returns the result of ``fit``, which Ray Tune refuses after the whole training.
    """

    def __init__(self) -> None:
        TrialCallback.__init__(self)
        if self.trial is not None:
            frame = inspect.currentframe()
            if frame is not None and frame.f_back is not None:
                refuse_returned_fit(frame.f_back.f_code)
            TuneReportCallback.__init__(self)

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:  # noqa: ANN401 — Ray's
        """Rank 0's report: its energy and time are those of all workers."""
        if self.trial is not None:
            super().after_report(run_context, metrics, checkpoint)

    def after_exception(self, run_context: Any, worker_exceptions: Mapping[int, Exception]) -> None:  # noqa: ANN401 — Ray's
        """A worker has failed: a batch size that does not fit is a result, not a failed trial."""
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
