"""PyTorch: waiting for queued GPU work, its processes, and the errors that say that memory is too small."""

from __future__ import annotations

import torch

from zeus_ray.train.process_group_gather import gather_of_process_group, ranks_of_process_group
from zeus_ray.training.frameworks import Framework
from zeus_ray.training.gpu_group_over_ranks import Gather
from zeus_ray.training.ranks_from_environment import Ranks

ALLOCATOR_MESSAGES = ("DefaultCPUAllocator: can't allocate memory", "No executable batch size found")
"""In a RuntimeError: of torch's CPU allocator, and of Hugging Face Accelerate."""


class PyTorch(Framework):
    """See :class:`Framework`. The length of a ``DataLoader`` needs nothing of its own."""

    def synchronize(self) -> None:
        """Wait for queued CUDA work, if this process uses CUDA."""
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()

    def runs_ahead(self) -> bool:
        """Whether this process uses CUDA, whose work is queued."""
        return bool(torch.cuda.is_initialized())

    def ranks(self) -> Ranks | None:
        """As the initialised process group says."""
        return ranks_of_process_group()

    def gather(self, ranks: Ranks) -> Gather | None:
        """Through a Gloo group of its own beside the initialised process group."""
        return gather_of_process_group(ranks)

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether it is torch's own error, or one of the messages of libraries around it."""
        if isinstance(error, torch.OutOfMemoryError):
            return True
        return isinstance(error, RuntimeError) and any(text in str(error) for text in ALLOCATOR_MESSAGES)
