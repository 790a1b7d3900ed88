"""The trial this process runs, as Ray Tune knows it. The only file that looks behind Tune's public API."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

from typing_extensions import Self

from zeus_ray.errors import BadInput
from zeus_ray.store.storage import Storage, StorageFolder


@dataclass(frozen=True)
class TrialContext:
    """Id, storage and GPUs of the trial in this process."""

    trial_id: str
    folder: Storage | None
    gpu_ids: tuple[str, ...]
    resumed: bool = False
    """Whether its function goes on from a checkpoint."""

    @classmethod
    def current(cls) -> Self | None:
        """The trial of this process; None outside Ray Tune. Never imports Ray by itself.

        Raises:
            BadInput: in a worker of Ray Train, which has no trial of its own.
        """
        if "ray" not in sys.modules:
            return None
        import ray  # noqa: PLC0415 — already loaded

        if not ray.is_initialized():
            return None
        from ray.train._internal.session import get_session  # noqa: PLC0415 — only inside a trial

        session = get_session()
        if session is None or session.trial_info is None:
            if _in_a_worker():
                raise BadInput(
                    "zeus_ray.session was used in a worker of Ray Train, whose GPUs are one job's: "
                    "use zeus_ray.train.torch_trainer.session there"
                )
            return None
        trial = cls.of(session.trial_info.id, session.storage)
        return replace(trial, resumed=session.loaded_checkpoint is not None)

    @classmethod
    def of_worker(cls) -> TrialContext:
        """The trial that this worker of Ray Train works for, as the job's :class:`TrialCallback` has it.

        Without one the job stands for the trial, and no earlier attempt is known.

        Raises:
            BadInput: not in a worker of Ray Train.
        """
        if not _in_a_worker():
            raise BadInput(
                "this session is for workers of Ray Train, and this process is none: use zeus_ray.session"
            )
        import ray  # noqa: PLC0415 — already loaded: we are inside a worker
        from ray.train.v2._internal.execution.context import get_train_context  # noqa: PLC0415 — only there

        job = get_train_context().train_run_context
        known = [c.trial for c in job.run_config.callbacks or () if isinstance(c, TrialCallback) and c.trial]
        trial = known[0] if known else cls(job.run_id, None, ())
        gpu_ids = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        resumed = trial.resumed or ray.train.get_checkpoint() is not None
        return replace(trial, gpu_ids=tuple(gpu_ids), resumed=resumed)

    @classmethod
    def of(cls, trial_id: str, storage: Any) -> Self:  # noqa: ANN401 — Ray's StorageContext, not public
        """The trial ``trial_id`` kept in ``storage``, in this process."""
        import ray  # noqa: PLC0415 — already loaded

        given = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        folder = StorageFolder(storage.storage_filesystem, storage.trial_fs_path)
        return cls(trial_id, folder, tuple(given))


class TrialCallback:
    """What a callback of Ray Train is that was made in a trial's function: workers find the trial in it."""

    def __init__(self) -> None:
        self.trial = TrialContext.current()


def _in_a_worker() -> bool:
    if "ray.train.v2._internal.execution.train_fn_utils" not in sys.modules:
        return False
    from ray.train.v2._internal.util import _in_ray_train_worker  # noqa: PLC0415 — already loaded

    return bool(_in_ray_train_worker())
