"""Real PyTorch: its errors of too little memory, and the lengths of its loaders."""

import pytest

pytestmark = pytest.mark.frameworks
torch = pytest.importorskip("torch")

from torch.utils.data import (  # noqa: E402 — after the check that it is there
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from zeus_ray.errors import BadInput  # noqa: E402
from zeus_ray.records import Target  # noqa: E402
from zeus_ray.training.frameworks import is_out_of_memory, synchronize  # noqa: E402
from zeus_ray.training.loader_inspection import samples_per_epoch  # noqa: E402


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


class Estimated(Endless):
    """Its length is wrong, which torch allows with a warning."""

    def __len__(self):
        return 40


def data():
    return TensorDataset(torch.rand(100, 4), torch.arange(100))


LOADERS = {  # the loader, its batches, its samples
    "sized": (lambda: DataLoader(data(), 32), 4, 100),
    "drop_last": (lambda: DataLoader(data(), 32, drop_last=True), 3, 96),
    "weighted, longer": (
        lambda: DataLoader(data(), 32, sampler=WeightedRandomSampler([1.0] * 100, 250)),
        8,
        250,
    ),
    "weighted, shorter": (
        lambda: DataLoader(data(), 32, sampler=WeightedRandomSampler([1.0] * 100, 33)),
        2,
        33,
    ),
    "subset": (lambda: DataLoader(data(), 32, sampler=SubsetRandomSampler(range(70))), 3, 70),
    "distributed": (lambda: DataLoader(data(), 32, sampler=DistributedSampler(data(), 2, 0)), 2, 50),
    "batch sampler": (
        lambda: DataLoader(data(), batch_sampler=BatchSampler(range(100), 32, drop_last=False)),
        4,
        100,
    ),
    "batches of a batch sampler": (
        lambda: DataLoader(data(), batch_sampler=[[*range(32)], [*range(5)]]),
        2,
        37,
    ),
    "batched by the dataset": (lambda: DataLoader(torch.rand(6, 32, 4), batch_size=None), 6, 192),
    "iterable": (lambda: DataLoader(Endless(), 32), 4, 100),
    "iterable, two workers": (lambda: DataLoader(Endless(), 32, num_workers=2), 8, 200),
    "iterable of a wrong length": (lambda: DataLoader(Estimated(), 32), 4, 100),
}


@pytest.mark.filterwarnings("ignore:Length of IterableDataset:UserWarning")
@pytest.mark.parametrize(("make", "batches", "samples"), LOADERS.values(), ids=LOADERS)
def test_one_pass_over_any_loader_is_one_epoch(session, watch, make, batches, samples):
    with session(batch_size=32, power_limits_w=()) as run:
        calls = watch(run)
        for _epoch in range(3):
            list(run.steps(make()))
        row = run.report({"loss": torch.tensor(0.5)})
    assert row["zeus/epochs"] == 3
    assert calls.count("after_step") == 3 * batches
    assert run._clock.samples == 3 * samples


@pytest.mark.parametrize(
    "metrics", [{"loss": torch.tensor(0.5)}, {"val": {"loss": torch.tensor(0.5)}}, {"val/loss": 0.5}]
)
def test_tensors_without_a_dimension_are_numbers(session, metrics):
    name = "loss" if "loss" in metrics else "val/loss"
    with session(batch_size=32, power_limits_w=(), target=Target(name, 0.5, "min")) as run:
        assert run.report(metrics)["zeus/target_reached"]


@pytest.mark.parametrize("parts", [2, 4])
def test_a_loader_of_micro_batches_is_refused_unless_the_session_accumulates(session, parts):
    loader = DataLoader(data(), 32 // parts)
    with session(batch_size=32, power_limits_w=()) as run, pytest.raises(BadInput, match="accumulate="):
        next(run.steps(loader))
    with session(batch_size=32, accumulate=parts, power_limits_w=()) as run:
        ends = sum(run.step_ends for _batch in run.steps(loader))
        assert (ends, run._clock.samples, run._clock.epochs) == (4, 100, 1)


@pytest.mark.parametrize(
    ("options", "samples"), [({}, 100), ({"drop_last": True}, 96), ({"sampler": range(40)}, 40)]
)
def test_the_samples_of_an_epoch_are_those_of_the_dataset_within_the_batches(options, samples):
    loader = DataLoader(TensorDataset(torch.rand(100, 4)), batch_size=32, **options)
    assert samples_per_epoch(loader, 32) == samples


def test_a_loader_over_an_iterable_dataset_has_no_known_length():
    assert samples_per_epoch(DataLoader(Endless(), batch_size=32), 32) is None


def test_waiting_for_queued_work_does_not_initialise_cuda():
    synchronize()
    assert not torch.cuda.is_initialized()
