"""Training frameworks: what a run must know of each one that its process has imported.

A new framework is one file with a subclass of :class:`Framework`, and one line in ``FRAMEWORKS``.
"""

from __future__ import annotations

import functools
import pkgutil
import sys
from typing import TYPE_CHECKING, Any

from zeus_ray.training.ranks_from_environment import Ranks

if TYPE_CHECKING:
    from zeus_ray.training.gpu_group_over_ranks import Gather
    from zeus_ray.training.where_run_leases_and_reports import RunContext

FRAMEWORKS = {
    "ray": "zeus_ray.tune.run_in_tune_trial:RayTune",
    "torch": "zeus_ray.train.pytorch_sync_and_oom:PyTorch",
}
"""By the name of the module that it is imported as: its :class:`Framework`, imported when that module is."""

OUT_OF_MEMORY_MESSAGES = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "HIP out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""Messages of CUDA, HIP and cuBLAS, whichever framework raises them as a RuntimeError."""


class Framework:
    """What differs between training frameworks. Each method has a default, for one that needs nothing."""

    def synchronize(self) -> None:
        """Wait until the GPU has done the work that is queued, so that a reading belongs to counted steps."""

    def runs_ahead(self) -> bool:
        """Whether work is queued, so that a step ends on the GPU later than in this process."""
        return False

    def ranks(self) -> Ranks | None:
        """Which process of a job this is, where the framework knows; None: it is not one of several."""
        return None

    def gather(self, ranks: Ranks) -> Gather | None:  # noqa: ARG002 — for subclasses
        """How the processes of a job exchange values; None: they cannot.

        Every process of ``ranks`` calls this before its first step. It may wait for all of them.
        """
        return None

    def is_out_of_memory(self, error: BaseException) -> bool:  # noqa: ARG002 — for subclasses
        """Whether ``error`` itself, not its cause, says that the memory of the GPU is too small."""
        return False

    def samples_per_epoch(self, loader: Any, batch_size: int) -> int | None:  # noqa: ANN401, ARG002 — any loader
        """Samples that one pass over ``loader`` trains; None where the framework does not know."""
        return None

    def context(self) -> RunContext | None:
        """Where a run of this process takes place, such as a trial of Ray Tune; None: in no such place."""
        return None


def imported_frameworks() -> list[Framework]:
    """The frameworks that this process has imported."""
    return [_framework(path) for name, path in FRAMEWORKS.items() if name in sys.modules]


def synchronize() -> None:
    """Wait until the GPU has done the work that is queued."""
    for framework in imported_frameworks():
        framework.synchronize()


def runs_ahead() -> bool:
    """Whether a step ends on the GPU later than in this process."""
    return any(framework.runs_ahead() for framework in imported_frameworks())


def current_ranks() -> Ranks | None:
    """Which process of a job this is; None: it is the only one, or nothing says."""
    found = (framework.ranks() for framework in imported_frameworks())
    return next((ranks for ranks in found if ranks is not None), None) or Ranks.from_environment()


def find_gather(ranks: Ranks) -> Gather | None:
    """How the processes of this job exchange values; None: no imported framework can."""
    found = (framework.gather(ranks) for framework in imported_frameworks())
    return next((gather for gather in found if gather is not None), None)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error``, or an error that caused it, says that the memory of the GPU is too small."""
    frameworks = imported_frameworks()
    cause: BaseException | None = error
    while cause is not None:
        message = str(cause) if isinstance(cause, RuntimeError) else ""
        if any(text in message for text in OUT_OF_MEMORY_MESSAGES):
            return True
        if any(framework.is_out_of_memory(cause) for framework in frameworks):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


@functools.cache
def _framework(path: str) -> Framework:
    framework: Framework = pkgutil.resolve_name(path)()
    return framework
