"""Which errors say that a batch size does not fit: as torch, the libraries under it and Accelerate put it."""

import pytest

from zeus_ray.tune.session import is_out_of_memory


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
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("No executable batch size found, reached zero."), True),
        (caused(ValueError("training failed"), by=RuntimeError("CUDA out of memory.")), True),
        (caused(ValueError("while handling"), by=RuntimeError("CUDA out of memory."), kept=False), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("CUDA out of memory"), False),  # somebody's words, no allocator's
        (caused(RuntimeError("shapes do not match"), by=KeyError("x")), False),
    ],
)
def test_only_errors_of_memory_say_so(error, does_not_fit):
    assert is_out_of_memory(error) == does_not_fit
