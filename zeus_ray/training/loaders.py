"""What a loader says about an epoch: how many samples it has, and which batches are full."""

from __future__ import annotations

from collections.abc import Iterable, Sized


def samples_per_epoch(loader: Iterable[object], batch_size: int) -> int | None:
    """Samples one pass over ``loader`` trains; None where it does not say.

    A loader with a sized ``dataset`` and no sampler of its own (torch's DataLoader) tells exactly;
    anything else with a length is taken as that many full batches.
    """
    batches = len(loader) if isinstance(loader, Sized) else None
    dataset = getattr(loader, "dataset", None)
    if isinstance(dataset, Sized) and batches is not None:
        # len(loader) × b bounds it: drop_last leaves samples out, a distributed sampler shares them.
        return min(len(dataset), batches * batch_size)
    return None if batches is None else batches * batch_size
