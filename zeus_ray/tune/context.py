"""The trial this process runs, as Ray Tune knows it. The only file that looks behind Tune's public API."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Self

from zeus_ray.history.folders import Folder, StorageFolder


@dataclass(frozen=True)
class TrialContext:
    """Id, storage and GPUs of the trial in this process."""

    trial_id: str
    folder: Folder
    gpu_ids: tuple[str, ...]

    @classmethod
    def current(cls) -> Self | None:
        """The trial of this process; None outside Ray Tune. Never imports Ray by itself."""
        if "ray" not in sys.modules:
            return None
        import ray  # noqa: PLC0415 — already loaded

        if not ray.is_initialized():
            return None
        from ray.train._internal.session import get_session  # noqa: PLC0415 — only inside a trial

        session = get_session()
        if session is None or session.trial_info is None:
            return None
        return cls.of(session.trial_info.id, session.storage)

    @classmethod
    def of(cls, trial_id: str, storage: Any) -> Self:  # noqa: ANN401 — Ray's StorageContext, not public
        """The trial ``trial_id`` kept in ``storage``, in this process."""
        import ray  # noqa: PLC0415 — already loaded

        given = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        folder = StorageFolder(storage.storage_filesystem, storage.trial_fs_path)
        return cls(trial_id, folder, tuple(given))
