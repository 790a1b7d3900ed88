"""What a run knows of training frameworks without importing one: errors of memory, lengths of loaders."""

import pytest
from runs import Loader

from zeus_ray.training.frameworks import is_out_of_memory
from zeus_ray.training.loader_inspection import samples_per_epoch


def caused(error, *, by, kept=True):
    error.__cause__ = by if kept else None
    error.__context__ = by
    return error


@pytest.mark.parametrize(
    ("error", "does_not_fit"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (caused(ValueError("training failed"), by=RuntimeError("CUDA out of memory.")), True),
        (caused(ValueError("while handling"), by=RuntimeError("CUDA out of memory."), kept=False), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("CUDA out of memory"), False),  # not raised by an allocator
        (caused(RuntimeError("shapes do not match"), by=KeyError("x")), False),
    ],
)
def test_only_errors_of_too_little_memory_are_recognised(error, does_not_fit):
    assert is_out_of_memory(error) == does_not_fit


class WithoutLength:
    """As a loader over an ``IterableDataset``: it has ``__len__``, which raises."""

    def __iter__(self):
        yield 0

    def __len__(self):
        raise TypeError("object of type 'IterableDataset' has no len()")


@pytest.mark.parametrize(
    ("loader", "samples"),
    [
        (Loader(1_010, 100), 1_010),
        ([None] * 11, 1_100),
        (iter([None]), None),
        (WithoutLength(), None),
    ],
)
def test_the_samples_of_an_epoch_are_known_where_the_loader_has_a_length(loader, samples):
    assert samples_per_epoch(loader, 100) == samples
