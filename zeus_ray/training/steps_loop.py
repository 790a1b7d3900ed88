"""The loop behind ``run.steps``, one pass over a loader as one epoch; and ``with run.step()``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from zeus_ray.errors import BadInput
from zeus_ray.training.loader_inspection import BatchSizes, check_loader, samples_per_epoch, with_last

if TYPE_CHECKING:
    from zeus_ray.training.steps_and_epochs_of_run import CountedRun

Batch = TypeVar("Batch")

WITHIN_ANOTHER = (
    "a loop over run.steps went on after another one had begun, so that steps and epochs cannot be told "
    "apart: iterate over one at a time. run.steps(zip(a, b)) gives a batch of each loader per step; an "
    "evaluation within the loop iterates over its loader itself, within `with run.evaluating()`"
)


class OneStep:
    """``with run.step(): ...``: tells the run one optimizer step; see :meth:`CountedRun.step`."""

    def __init__(self, run: CountedRun) -> None:
        self.tokens: float | None = None
        self._run = run

    def __enter__(self) -> None:
        self._run.count_steps()
        self._run.before_step()

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        if kind is None:
            self._run.after_step(tokens=self.tokens)
        else:
            self._run.pause()


def one_pass(
    run: CountedRun,
    loader: Iterable[Batch],
    samples: int | None,
    tokens: Callable[[Batch], float] | None = None,
) -> Iterator[Batch]:
    """The batches of one pass; between them the run is told its steps. See :meth:`CountedRun.steps`."""
    check_loader(loader)
    sizes = BatchSizes(loader, run.micro_batch_size, accumulated=run.accumulate > 1)
    run.begin_epoch(samples or samples_per_epoch(loader, run.batch_size // run.accumulate))
    run.passes += 1
    mine = run.passes
    batches = ((batch, False) for batch in loader) if run.accumulate == 1 else with_last(loader)
    number, complete, in_step, step_size, step_tokens = 0, False, False, 0, 0.0
    try:
        for number, (batch, last) in enumerate(batches, 1):
            if run.stop:
                break
            size = sizes.of(batch)
            if run.step_ends:
                run.before_step(size and size * run.accumulate)
            in_step, step_size = True, step_size + (size or 0)
            run.step_ends = last or number % run.accumulate == 0
            step_tokens += tokens(batch) if tokens is not None else 0.0
            if number == 2:
                run.warn_once(sizes.doubt)
            yield batch
            if run.passes != mine:
                raise BadInput(WITHIN_ANOTHER)
            if run.step_ends:
                run.after_step(step_size or None, step_tokens * run.processes if tokens else None)
                in_step, step_size, step_tokens = False, 0, 0.0
        else:
            complete = True
    except GeneratorExit:
        if run.passes == mine:
            run.leave_epoch(
                in_step=in_step,
                samples=step_size or None,
                tokens=step_tokens * run.processes if tokens else None,
            )
        raise
    finally:
        run.step_ends = True
    run.end_epoch(complete=complete and samples is None)
    if not number:
        run.warn_once(
            f"run.steps was given a {type(loader).__name__} that gave no batch: an iterator can be used "
            "once, give run.steps what makes a new one for each epoch, such as the DataLoader itself"
        )
