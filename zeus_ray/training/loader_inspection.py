"""What can be known of a loader: how many samples one pass trains, and how many it gives at once.

A loader is anything that can be iterated over. Only what it says is used; nothing of it is imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, TypeVar

from zeus_ray.errors import BadInput
from zeus_ray.training.frameworks import imported_frameworks

Item = TypeVar("Item")
NESTING = 4
"""How deep the first array of a batch is looked for."""


def samples_per_epoch(loader: Any, batch_size: int) -> int | None:  # noqa: ANN401 — any loader
    """Samples that one pass over ``loader`` trains, in all processes; None where it has no length.

    The length of a sampler counts, else that of a dataset, within the number of batches. A loader with
    neither counts as full batches. Several processes: as many as shares of ``loader`` make ``batch_size``.
    """
    for framework in imported_frameworks():
        known = framework.samples_per_epoch(loader, batch_size)
        if known is not None:
            return known
    batches = length(loader)
    if batches is None:
        return None
    samples, mine = _own_samples(loader), given_at_once(loader)
    if samples is None:
        return batches * batch_size
    processes = max(1, batch_size // mine) if mine else 1
    return min(samples * processes, batches * batch_size)


def given_at_once(loader: Any) -> int | None:  # noqa: ANN401 — any loader
    """Samples in one batch of ``loader``; None where it does not say."""
    for source in (loader, getattr(loader, "batch_sampler", None)):
        size = getattr(source, "batch_size", None)
        if isinstance(size, int) and not isinstance(size, bool) and size > 0:
            return size
    return None


def length(thing: Any) -> int | None:  # noqa: ANN401 — of any type
    """``len(thing)``; None where it has none, or where asking for it fails."""
    try:
        return len(thing)
    except Exception:  # noqa: BLE001 — TypeError over an IterableDataset, RuntimeError of a CombinedLoader, …
        return None


def check_loader(loader: Any) -> None:  # noqa: ANN401 — any loader
    """Refuse what gives loaders instead of batches.

    Raises:
        BadInput: a dictionary or a list of loaders, or something that cannot be iterated over.
    """
    several = list(loader.values()) if isinstance(loader, Mapping) else loader
    if isinstance(loader, Mapping) or (isinstance(several, Sequence) and any(map(_is_loader, several))):
        raise BadInput(
            f"run.steps was given a {type(loader).__name__} of {len(several)} loaders; it takes one: "
            "zip(a, b) gives a batch of each per step, itertools.chain(a, b) one after the other, and "
            "Lightning's CombinedLoader either"
        )
    if not isinstance(loader, Iterable) and not hasattr(loader, "__getitem__"):
        remedy = (
            "loader.iter_torch_batches(batch_size=run.micro_batch_size)"
            if hasattr(loader, "iter_batches")
            else "something that gives one batch at a time"
        )
        raise BadInput(f"run.steps was given a {type(loader).__name__}, which is no loader: give it {remedy}")


def first_array(batch: Any) -> tuple[Any, ...]:  # noqa: ANN401 — any batch
    """The keys by which the first array in a nested batch is found, whose first dimension counts samples."""
    keys: tuple[Any, ...] = ()
    while len(keys) < NESTING and getattr(batch, "shape", None) is None:
        if isinstance(batch, Mapping) and batch:
            key = next(iter(batch))
        elif (
            isinstance(batch, list | tuple) and batch and not isinstance(batch[0], str | bytes | int | float)
        ):
            key = 0
        else:
            break
        keys, batch = (*keys, key), batch[key]
    return keys


def batch_length(batch: Any, keys: tuple[Any, ...]) -> int | None:  # noqa: ANN401 — any batch
    """The first dimension of the array under ``keys``, or the length of a list there; None: neither."""
    try:
        for key in keys:
            batch = batch[key]
        return int(batch.shape[0])
    except (AttributeError, TypeError, ValueError, LookupError):
        listed = isinstance(batch, Sized) and not isinstance(batch, str | bytes | Mapping)
        return len(batch) if listed and getattr(batch, "shape", None) is None else None


class BatchSizes:
    """The sizes of the batches of one pass, where they can be seen.

    The first dimension of a batch counts as its size only where that of the first batch was the expected
    size: it may be anything else, such as the length of sequences.

    Args:
        loader: gives the batches.
        micro: samples that one batch should have, over all processes that share it.
        accumulated: whether the run accumulates micro-batches.
        processes: how many may share a batch; None: as ``WORLD_SIZE`` says.

    Attributes:
        doubt: after the first batch, a warning where it seems to be only a part of one; "" otherwise.

    Raises:
        BadInput: the loader says that its batches have another size.
    """

    def __init__(
        self, loader: object, micro: int, *, accumulated: bool = False, processes: int | None = None
    ) -> None:
        self.doubt = ""
        self._micro = micro
        world = processes or int(os.environ.get("WORLD_SIZE") or 1)
        self._processes = _sharing_processes(loader, micro, world, accumulated=accumulated)
        self._expected = micro // self._processes
        self._told = getattr(loader, "batch_size", None) is not None
        self._given = given_at_once(loader)
        self._keys: tuple[Any, ...] = ()
        self._sees_sizes: bool | None = None

    def of(self, batch: Any) -> int | None:  # noqa: ANN401 — any batch
        """Samples in ``batch`` and in its counterparts in other processes; None where that is not seen."""
        if self._sees_sizes is False:
            return None
        if self._sees_sizes is None:
            self._keys = first_array(batch)
            found = batch_length(batch, self._keys)
            self._sees_sizes = found == self._expected
            self.doubt = "" if self._told else self._doubt(self._given or found)
            return self._micro if self._sees_sizes else None
        found = batch_length(batch, self._keys)
        whole = found is None or not 0 < found < self._expected
        return self._micro if whole or found is None else found * self._processes

    def _doubt(self, size: int | None) -> str:
        parts, rest = divmod(self._expected, size) if size else (1, 0)
        if parts < 2 or rest:
            return ""
        return (
            f"the loader seems to give {size} samples at once, and each of its batches counts as "
            f"{self._expected}, the run's batch size. Where the script accumulates {parts} of them, open the "
            f"session with accumulate={parts}, and step the optimizer where run.step_ends"
        )


def _sharing_processes(loader: object, micro: int, world: int, *, accumulated: bool) -> int:
    """How many processes share a batch of ``micro`` samples: 1 unless this one meters for all of them."""
    size = getattr(loader, "batch_size", None)
    if not isinstance(size, int) or isinstance(size, bool) or size == micro:
        return 1
    if size * world == micro:
        return world
    if accumulated:
        raise BadInput(
            f"the loader gives {size} samples at once, but only {micro} fit: give it "
            "run.micro_batch_size, and step the optimizer where run.step_ends"
        )
    raise BadInput(
        f"the loader gives {size} samples at once, but the run's batch size is {micro}: give the loader "
        "run.batch_size. Where the script accumulates gradients itself, batch_size= is what one optimizer "
        "step trains: open the session with accumulate=, give the loader run.micro_batch_size, and step "
        "the optimizer where run.step_ends"
    )


def with_last(loader: Iterable[Item]) -> Iterator[tuple[Item, bool]]:
    """Each batch, and whether it is the last one: reads one batch ahead."""
    batches = iter(loader)
    try:
        batch = next(batches)
    except StopIteration:
        return
    for following in batches:
        yield batch, False
        batch = following
    yield batch, True


def _own_samples(loader: Any) -> int | None:  # noqa: ANN401 — any loader
    """Samples that this process draws in a pass, by sampler or dataset; None where neither has a length."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    if getattr(loader, "batch_size", None) is None and batch_sampler is not None:
        # A DataLoader with a batch sampler of its own has a sampler, too, which it does not use.
        return length(getattr(batch_sampler, "sampler", None))
    if getattr(loader, "batch_size", 0) is None:  # the dataset gives whole batches
        return None
    drawn = length(getattr(loader, "sampler", None))
    return length(getattr(loader, "dataset", None)) if drawn is None else drawn


def _is_loader(thing: object) -> bool:
    return hasattr(thing, "__iter__") and hasattr(thing, "dataset")
