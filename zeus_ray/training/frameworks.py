"""Training frameworks: what a run must know of each one that its process has imported.

A new framework is one file with a subclass of :class:`Framework`, and one line in ``FRAMEWORKS``.
"""

from __future__ import annotations

import functools
import pkgutil
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeus_ray.training.session import RunContext

FRAMEWORKS = {
    "ray": "zeus_ray.tune.current_trial:RayTune",
    "torch": "zeus_ray.train.pytorch_sync_and_memory:PyTorch",
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
