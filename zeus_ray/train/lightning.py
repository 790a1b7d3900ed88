"""Lightning: ``Trainer(callbacks=[ZeusCallback(run)])`` meters and profiles what ``trainer.fit`` trains.

Windows begin and end with optimizer steps, also where gradients are accumulated. Validation counts for the
energy and time of the run, but not for a profile; the sanity check before training is neither a step nor a
report.
"""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl

from zeus_ray.errors import BadInput
from zeus_ray.training.loaders import samples_per_epoch
from zeus_ray.training.run import TrainingRun


class ZeusCallback(pl.Callback):  # type: ignore[misc]  # Lightning's types are not read
    """Tells the run of a session the steps, epochs and metrics of a Lightning ``Trainer``.

    It reports all of ``trainer.callback_metrics`` after each epoch, and after each validation within one.
    Where the run should end it sets ``trainer.should_stop``; Lightning's own early stopping works beside it.

    Args:
        run: from :func:`zeus_ray.session`, or from the session of ``zeus_ray.train.torch_trainer``.
    """

    def __init__(self, run: TrainingRun) -> None:
        self._run = run
        self._paused = False
        self._stepped = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check that Lightning trains the batch size that is metered.

        Raises:
            BadInput: samples per step are not the run's batch size.
        """
        micro = getattr(trainer.train_dataloader, "batch_size", None)
        if micro is None:  # several loaders, or one without a batch size
            return
        accumulated, processes = trainer.accumulate_grad_batches, trainer.world_size
        if micro * accumulated * processes != self._run.batch_size:
            raise BadInput(
                f"Lightning trains {micro} samples × {accumulated} accumulated × {processes} processes a "
                f"step, but the run's batch size is {self._run.batch_size}: give the loader "
                "run.micro_batch_size, and the Trainer accumulate_grad_batches=run.accumulate"
            )

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """An epoch begins. Lightning may take fewer batches from the loader than it has."""
        per_batch = self._run.batch_size // trainer.accumulate_grad_batches
        known = samples_per_epoch(trainer.train_dataloader, per_batch)
        if known is not None:
            known = min(known, int(trainer.num_training_batches) * per_batch)
        self._run.begin_epoch(known)
        self._paused, self._stepped = False, True

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The first micro-batch of a step begins the step."""
        if self._paused:
            self._run.resume()
            self._paused = False
        if self._stepped:
            self._run.before_step()
            self._stepped = False

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any
    ) -> None:
        """The present micro-batch is the last of its step; several optimizers may step with it."""
        self._stepped = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The micro-batch with which the optimizer stepped ends the step."""
        if not self._stepped:
            return
        self._run.after_step()
        if self._run.stop:
            trainer.should_stop = True

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training pauses."""
        if _trains(trainer) and not self._paused:
            self._run.pause()
            self._paused = True

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A validation within an epoch is a report of its own."""
        if _trains(trainer) and not trainer.is_last_batch:
            self._report(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """An epoch ends, after its validation."""
        self._run.end_epoch()
        self._report(trainer)

    def _report(self, trainer: pl.Trainer) -> None:
        self._run.report({name: float(value) for name, value in trainer.callback_metrics.items()})
        if self._run.stop:
            trainer.should_stop = True


def _trains(trainer: pl.Trainer) -> bool:
    """Whether a validation hook belongs to training, and not to the sanity check before it."""
    return trainer.state.fn == "fit" and not trainer.sanity_checking
