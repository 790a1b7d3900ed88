"""The trial of this process as Ray Tune knows it: its GPUs, its storage, and where it reports.

The only file that looks behind the public API of Ray Tune's and Ray Train's workers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from typing_extensions import Self

from zeus_ray.errors import BadInput
from zeus_ray.leases.process import HolderProcess
from zeus_ray.records import Plan, StopReason
from zeus_ray.store.storage import Storage, StorageFolder
from zeus_ray.training.frameworks import Framework
from zeus_ray.training.leased_gpu_group import GpuGroup
from zeus_ray.training.training_run import TrainingRun
from zeus_ray.training.usage_of_earlier_attempts import AttemptLog
from zeus_ray.training.where_run_leases_and_reports import RunContext, emissions_json, gpu_settings

_completed: set[str] = set()
"""Ids of the trials of this process whose function had a session to its end: a next one goes on there."""


class TuneRun(TrainingRun):
    """A run that reports to Ray Tune, and ends its trial there when it should stop."""

    strict_metric = False  # Tune has its own check; a trial goes on without its metric
    stopped_by_tune = False
    """Whether Tune ends the trial, and not its function."""

    @property
    def unfinished(self) -> str:
        """As the base class says, except where Tune ends the trial: the search says it, which knows why."""
        by_search = self.stop == StopReason.COST_CAP or (self.stopped_by_tune and self.stop is None)
        return "" if by_search and self.plan.online is None else super().unfinished

    def send(self, result: dict[str, Any], **options: Any) -> None:  # noqa: ANN401 — Tune's own
        """Pass the result to ``tune.report``; does not return when the trial ends there."""
        from ray import tune  # noqa: PLC0415 — already imported: this is a trial

        try:
            tune.report({**result, "done": True} if self.stop else result, **options)
        except SystemExit:
            self.stopped_by_tune = True
            raise


@dataclass(frozen=True, kw_only=True)
class TrialContext(RunContext):
    """A trial of Ray Tune in this process.

    Attributes:
        trial_id: Tune's name of the trial.
        folder: the trial's storage; None: it has none.
        gpu_ids: Ray's accelerator ids of this process, indices or UUIDs.
    """

    trial_id: str
    folder: Storage | None
    gpu_ids: tuple[str, ...]
    run_type: Callable[..., TrainingRun] = TuneRun

    @classmethod
    def current(cls) -> Self | None:
        """The trial of this process; None outside Ray Tune. Does not import Ray.

        Raises:
            BadInput: in a worker of Ray Train, which has no trial of its own.
        """
        if "ray" not in sys.modules:
            return None
        import ray  # noqa: PLC0415 — already imported

        if not ray.is_initialized():
            return None
        from ray.train._internal.session import get_session  # noqa: PLC0415 — only inside a trial

        session = get_session()
        if session is None or session.trial_info is None:
            if _in_a_worker():
                raise BadInput(
                    "zeus_ray.session was used in a worker of Ray Train, whose GPUs belong to one job: "
                    "use zeus_ray.train.torch_trainer.session there"
                )
            return None
        trial_id = session.trial_info.id
        goes_on = session.loaded_checkpoint is not None or trial_id in _completed
        return cls.of(trial_id, session.storage, from_checkpoint=goes_on)

    @classmethod
    def of(cls, trial_id: str, storage: Any, *, from_checkpoint: bool = False) -> Self:  # noqa: ANN401 — Ray's StorageContext, not public
        """The trial ``trial_id`` with its ``storage``, in this process."""
        return cls(
            trial_id=trial_id,
            folder=StorageFolder(storage.storage_filesystem, storage.trial_fs_path),
            gpu_ids=_gpu_ids(),
            from_checkpoint=from_checkpoint,
        )

    @classmethod
    def of_worker(cls) -> Self:
        """The trial that this worker of Ray Train works for, from the job's :class:`TrialCallback`.

        Without such a callback the job stands for the trial, and no earlier attempt is known.

        Raises:
            BadInput: not in a worker of Ray Train.
        """
        if not _in_a_worker():
            raise BadInput(
                "this session is for workers of Ray Train, and this process is none: use zeus_ray.session"
            )
        import ray  # noqa: PLC0415 — already imported: this is a worker
        from ray.train.v2._internal.execution.context import get_train_context  # noqa: PLC0415 — only there

        job = get_train_context().train_run_context
        known = [c.trial for c in job.run_config.callbacks or () if isinstance(c, TrialCallback) and c.trial]
        trial = known[0] if known else None
        return cls(
            trial_id=trial.trial_id if trial else job.run_id,
            folder=trial.folder if trial else None,
            gpu_ids=_gpu_ids(),
            from_checkpoint=bool(trial and trial.from_checkpoint) or ray.train.get_checkpoint() is not None,
        )

    @property
    def name(self) -> str:
        """Of what may have one session at a time: the trial, in whichever thread it runs."""
        return self.trial_id

    def completed(self) -> None:
        """A session has come to its end, without an error."""
        _completed.add(self.trial_id)

    def lease(self, plan: Plan, gpus: int) -> GpuGroup:
        """Lease the trial's GPUs through their actors, or ``gpus`` simulated ones where Ray gave none."""
        from zeus_ray.actors.lease_gpus_through_actors import lease_gpus  # noqa: PLC0415 — imports Ray

        source, control = gpu_settings(plan)
        return lease_gpus(
            HolderProcess.current(self.trial_id),
            source=source,
            control=control,
            given=self.gpu_ids,
            simulated=gpus,
            emissions=emissions_json(plan),
        )

    def attempts(self) -> AttemptLog:
        """The attempts of the trial, from its storage."""
        from zeus_ray.actors.lease_gpus_through_actors import final_usage  # noqa: PLC0415 — imports Ray

        return AttemptLog.open(self.folder, final_usage=final_usage)


class RayTune(Framework):
    """Ray Tune, whose trials are where runs take place."""

    def context(self) -> TrialContext | None:
        """The trial of this process; None: this process is no trial."""
        return TrialContext.current()


class TrialCallback:
    """A callback of Ray Train that was made in a trial's function: its workers find the trial in it."""

    def __init__(self) -> None:
        self.trial = TrialContext.current()


def _gpu_ids() -> tuple[str, ...]:
    import ray  # noqa: PLC0415 — already imported

    return tuple(ray.get_runtime_context().get_accelerator_ids().get("GPU", []))


def _in_a_worker() -> bool:
    if "ray.train.v2._internal.execution.train_fn_utils" not in sys.modules:
        return False
    from ray.train.v2._internal.util import _in_ray_train_worker  # noqa: PLC0415 — already imported

    return bool(_in_ray_train_worker())
