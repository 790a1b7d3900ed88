"""PyTorch: waiting for queued GPU work, and the errors that say that its memory is too small."""

from __future__ import annotations

import torch

from zeus_ray.training.frameworks import Framework

ALLOCATOR_MESSAGES = ("DefaultCPUAllocator: can't allocate memory", "No executable batch size found")
"""In a RuntimeError: of torch's CPU allocator, and of Hugging Face Accelerate."""


class PyTorch(Framework):
    """See :class:`Framework`. The length of a ``DataLoader`` needs nothing of its own."""

    def synchronize(self) -> None:
        """Wait for queued CUDA work, if this process uses CUDA."""
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether it is torch's own error, or one of the messages of libraries around it."""
        if isinstance(error, torch.OutOfMemoryError):
            return True
        return isinstance(error, RuntimeError) and any(text in str(error) for text in ALLOCATOR_MESSAGES)
