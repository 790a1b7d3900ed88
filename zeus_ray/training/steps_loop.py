"""One pass over a loader as one epoch of a run: the loop behind ``run.steps``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from zeus_ray.training.loader_inspection import BatchSizes, check_loader, samples_per_epoch, with_last

if TYPE_CHECKING:
    from zeus_ray.training.run import TrainingRun

Batch = TypeVar("Batch")


def one_pass(run: TrainingRun, loader: Iterable[Batch], samples: int | None) -> Iterator[Batch]:
    """The batches of one pass; between them the run is told its steps. See :meth:`TrainingRun.steps`."""
    check_loader(loader)
    sizes = BatchSizes(loader, run.micro_batch_size, accumulated=run.accumulate > 1)
    run.begin_epoch(samples or samples_per_epoch(loader, run.batch_size // run.accumulate))
    batches = ((batch, False) for batch in loader) if run.accumulate == 1 else with_last(loader)
    number, complete, in_step, step_size = 0, False, False, 0
    try:
        for number, (batch, last) in enumerate(batches, 1):
            if run.stop:
                break
            size = sizes.of(batch)
            if run.step_ends:
                run.before_step(size and size * run.accumulate)
            in_step, step_size = True, step_size + (size or 0)
            run.step_ends = last or number % run.accumulate == 0
            if number == 2:
                run.warn_once(sizes.doubt)
            yield batch
            if run.step_ends:
                run.after_step(step_size or None)
                in_step, step_size = False, 0
        else:
            complete = True
    except GeneratorExit:
        run.leave_epoch(in_step=in_step, samples=step_size or None)
        raise
    finally:
        run.step_ends = True
    run.end_epoch(complete=complete and samples is None)
    if not number:
        run.warn_once(
            f"run.steps was given a {type(loader).__name__} that gave no batch: an iterator can be used "
            "once, give run.steps what makes a new one for each epoch, such as the DataLoader itself"
        )
