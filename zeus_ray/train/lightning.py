"""Lightning: ``Trainer(callbacks=[ZeusCallback(run)])`` meters and profiles what ``trainer.fit`` trains.

Windows begin and end with optimizer steps, also where gradients are accumulated. Validation counts for the
energy and time of the run, but not for a profile; the sanity check before training is neither a step nor a
report, and neither is ``trainer.validate``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch.utils.data import BatchSampler

from zeus_ray.errors import BadInput
from zeus_ray.records import NAN
from zeus_ray.training.loader_inspection import BatchSizes, samples_per_epoch
from zeus_ray.training.training_run import TrainingRun


class ZeusCallback(pl.Callback):  # type: ignore[misc]  # Lightning's types are not read
    """Tells the run of a session the steps, epochs and metrics of a Lightning ``Trainer``.

    It reports all of ``trainer.callback_metrics`` after each epoch, and after each validation within one;
    what was not validated since the last report is NaN. Where the run should end it sets
    ``trainer.should_stop``; Lightning's own early stopping works beside it.

    Args:
        run: from :func:`zeus_ray.session`, or from the session of ``zeus_ray.train.torch_trainer``.
    """

    def __init__(self, run: TrainingRun) -> None:
        run.count_steps()
        self._run = run
        self._sizes = BatchSizes(None, 1)
        self._accumulated = 1
        self._batches = self._in_step = self._samples = 0
        self._stepped = True
        self._validated = self._ever_validated = False
        self._from_validation: set[str] = set()
        self._known_before: set[str] = set()

    # --- steps and epochs --------------------------------------------------------------------------

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check that Lightning trains the batch size that is metered, and will go on to.

        Raises:
            BadInput: samples per step are not the run's batch size, or change during training; or tokens
                are to be counted.
        """
        if self._run.unit == "tokens":
            raise BadInput("unit is 'tokens', which a Lightning Trainer does not count: use unit='samples'")
        self._accumulated = self._accumulation(trainer, pl_module)
        self._check_batch_size(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """An epoch begins, of as many batches as Lightning takes; its loaders may be new ones."""
        self._check_batch_size(trainer)
        per_batch = self._run.batch_size // self._accumulated
        loaders, batches = _leaves(trainer.train_dataloader), trainer.num_training_batches
        one = loaders[0] if len(loaders) == 1 else None
        self._sizes = BatchSizes(one, per_batch, processes=trainer.world_size)
        known = None
        if batches != float("inf"):
            whole = int(batches) * per_batch
            known = min(whole, (samples_per_epoch(one, per_batch) if one is not None else None) or whole)
        self._run.begin_epoch(known)
        self._batches, self._in_step, self._samples, self._stepped = 0, 0, 0, True

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The first micro-batch of a step begins the step."""
        size = self._sizes.of(batch)
        self._run.warn_once(self._sizes.doubt)
        if self._stepped:
            self._run.before_step(size and size * self._accumulated)
            self._in_step, self._samples, self._stepped = 0, 0, False
        self._batches += 1
        self._in_step += 1
        self._samples += size or 0

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any
    ) -> None:
        """The present micro-batch is the last of its step; several optimizers may step with it."""
        self._stepped = self._stepped or pl_module.automatic_optimization

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The micro-batch with which the optimizer stepped ends the step."""
        if not pl_module.automatic_optimization:  # the module steps by itself, each run.accumulate batches
            self._stepped = self._in_step == self._accumulated or trainer.is_last_batch
        if not self._stepped:
            return
        self._run.after_step(self._samples or None)
        if self._run.stop:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """An epoch ends, after its validation; it is not complete where steps or time were limited."""
        whole = trainer.is_last_batch or self._batches >= trainer.num_training_batches
        from_its_start = self._batches == trainer.fit_loop.batch_idx + 1  # else resumed within the epoch
        self._run.end_epoch(complete=whole and from_its_start)
        self._report(trainer, expected=self._ever_validated or not trainer.enable_validation)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say where training ended before the target metric was logged."""
        target = self._run.plan.target
        if target is not None and target.metric not in trainer.callback_metrics:
            self._run.warn_once(
                f"training ended without the target metric {target.metric!r}; logged: "
                f"{', '.join(map(repr, trainer.callback_metrics)) or 'nothing'}. Log it in training_step or "
                "validation_step, and validate at least once"
            )

    # --- validation and reports --------------------------------------------------------------------

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training pauses until its next step."""
        if _trains(trainer):
            self._run.pause()
            self._known_before = set(trainer.callback_metrics)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A validation within an epoch is a report of its own, whatever the number of its loaders."""
        if not _trains(trainer):
            return
        self._from_validation |= set(trainer.callback_metrics) - self._known_before
        self._validated = self._ever_validated = True
        if not trainer.is_last_batch:  # what training logs per epoch is there from the second epoch on
            self._report(trainer, expected=trainer.current_epoch > 0)

    def _report(self, trainer: pl.Trainer, *, expected: bool) -> None:
        """Report; ``expected``: whether the target metric must be there by now."""
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not self._validated:
            values |= dict.fromkeys(self._from_validation, NAN)
        target = self._run.plan.target
        if target is not None and not expected:
            values.setdefault(target.metric, NAN)
        self._validated = False
        self._run.report(values)
        if self._run.stop:
            trainer.should_stop = True

    # --- batch sizes -------------------------------------------------------------------------------

    def _accumulation(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> int:
        """Micro-batches per optimizer step. Raises BadInput where a callback changes it."""
        if not pl_module.automatic_optimization:
            return self._run.accumulate
        scheduled = [c.scheduling for c in trainer.callbacks if isinstance(c, GradientAccumulationScheduler)]
        used = {parts for schedule in scheduled for parts in schedule.values()}
        used = used or {trainer.accumulate_grad_batches}
        if len(used) > 1:
            raise BadInput(
                f"GradientAccumulationScheduler accumulates {sorted(used)} batches in turn, which changes "
                f"the samples per step, but the run's batch size is {self._run.batch_size} throughout: leave "
                "the callback out, and give the Trainer accumulate_grad_batches=run.accumulate"
            )
        return int(used.pop())

    def _check_batch_size(self, trainer: pl.Trainer) -> None:
        """Samples per step are those of all loaders together, or those of each where they take turns."""
        sizes = [_batch_size(loader) for loader in _leaves(trainer.train_dataloader)]
        if not sizes or None in sizes:  # loaders that do not say; see BatchSizes.doubt
            return
        each = {size for size in sizes if size is not None}
        per_step = self._accumulated * trainer.world_size
        together = sum(size for size in sizes if size is not None)
        fits = {together, *(each if len(each) == 1 else ())}
        if self._run.batch_size in {size * per_step for size in fits}:
            return
        raise BadInput(
            f"Lightning trains {together} samples × {self._accumulated} accumulated × {trainer.world_size} "
            f"processes a step, but the run's batch size is {self._run.batch_size}: give the loader "
            "run.micro_batch_size, and the Trainer accumulate_grad_batches=run.accumulate"
        )


def _leaves(loaders: Any) -> list[Any]:
    """The loaders in a nested collection of them."""
    if isinstance(loaders, Mapping):
        loaders = list(loaders.values())
    if isinstance(loaders, list | tuple):
        return [leaf for loader in loaders for leaf in _leaves(loader)]
    return [] if loaders is None else [loaders]


def _batch_size(loader: Any) -> int | None:
    """Samples that a loader gives at once; None where it does not say."""
    size = getattr(loader, "batch_size", None)
    sampler: Any = getattr(loader, "batch_sampler", None)
    if size is None and type(sampler) is BatchSampler:
        size = sampler.batch_size
    return size if isinstance(size, int) else None


def _trains(trainer: pl.Trainer) -> bool:
    """Whether a validation hook belongs to training, and not to the sanity check before it."""
    return trainer.state.fn == "fit" and not trainer.sanity_checking
