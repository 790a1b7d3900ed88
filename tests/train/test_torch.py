"""Real PyTorch: its errors of too little memory, and the lengths of its loaders."""

import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader, IterableDataset, TensorDataset  # noqa: E402 — after the check

from zeus_ray.training.frameworks import is_out_of_memory, synchronize  # noqa: E402
from zeus_ray.training.loaders import samples_per_epoch  # noqa: E402


@pytest.mark.parametrize(
    ("error", "does_not_fit"),
    [
        (torch.OutOfMemoryError("tried to allocate 80 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("No executable batch size found, reached zero."), True),  # Accelerate
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("DefaultCPUAllocator: can't allocate memory"), False),
    ],
)
def test_errors_of_too_little_memory_are_recognised(error, does_not_fit):
    assert is_out_of_memory(error) == does_not_fit


class Endless(IterableDataset):
    def __iter__(self):
        yield from torch.rand(100, 4)


@pytest.mark.parametrize(
    ("options", "samples"), [({}, 100), ({"drop_last": True}, 96), ({"sampler": range(40)}, 64)]
)
def test_the_samples_of_an_epoch_are_those_of_the_dataset_within_the_batches(options, samples):
    loader = DataLoader(TensorDataset(torch.rand(100, 4)), batch_size=32, **options)
    assert samples_per_epoch(loader, 32) == samples


def test_a_loader_over_an_iterable_dataset_has_no_known_length():
    assert samples_per_epoch(DataLoader(Endless(), batch_size=32), 32) is None


def test_waiting_for_queued_work_does_not_initialise_cuda():
    synchronize()
    assert not torch.cuda.is_initialized()
