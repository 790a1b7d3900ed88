"""Hugging Face Transformers: ``Trainer(callbacks=[ZeusCallback(run)])`` meters and profiles its training.

A step of the ``Trainer`` is an optimizer step, whatever it accumulates. Evaluation, logging and saving count
for the energy and time of the run, but not for a profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from zeus_ray.errors import BadInput
from zeus_ray.training.loaders import samples_per_epoch
from zeus_ray.training.run import TrainingRun


class ZeusCallback(TrainerCallback):  # type: ignore[misc]  # Transformers' types are not read
    """Tells the run of a session the steps, epochs and metrics of a Transformers ``Trainer``.

    It reports the newest evaluated and logged values after each evaluation, or after each epoch where nothing
    is evaluated. Where the run should end it sets ``control.should_training_stop``; the ``Trainer``'s own
    early stopping works beside it.

    Args:
        run: from :func:`zeus_ray.session`, or from the session of ``zeus_ray.train.torch_trainer``.
    """

    def __init__(self, run: TrainingRun) -> None:
        self._run = run
        self._paused = False
        self._reported = False
        self._logged: dict[str, float] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_given: Any
    ) -> None:
        """Check that the ``Trainer`` trains the batch size that is metered.

        Raises:
            BadInput: samples per step are not the run's batch size, or may change while it trains.
        """
        micro, accumulated, processes = (
            args.train_batch_size,
            args.gradient_accumulation_steps,
            args.world_size,
        )
        if args.auto_find_batch_size:
            raise BadInput("auto_find_batch_size=True changes the batch size that is metered: leave it out")
        if micro * accumulated * processes != self._run.batch_size:
            raise BadInput(
                f"Transformers trains {micro} samples × {accumulated} accumulated × {processes} processes a "
                f"step, but the run's batch size is {self._run.batch_size}: "
                "per_device_train_batch_size=run.micro_batch_size, gradient_accumulation_steps=run.accumulate"
            )

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: Any = None,
        **_given: Any,
    ) -> None:
        """An epoch begins."""
        per_batch = self._run.batch_size // args.gradient_accumulation_steps
        self._run.begin_epoch(samples_per_epoch(train_dataloader, per_batch))
        self._paused = False

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_given: Any
    ) -> None:
        """The first micro-batch of a step begins the step."""
        if self._paused:
            self._run.resume()
            self._paused = False
        self._run.before_step()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_given: Any
    ) -> None:
        """The optimizer has stepped; evaluation, saving or logging may follow before the next step."""
        self._reported = False
        self._run.after_step()
        if self._run.stop:
            control.should_training_stop = True
        if control.should_evaluate or control.should_save or control.should_log:
            self._pause()

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_given: Any
    ) -> None:
        """An evaluation that was not scheduled by ``control``."""
        self._pause()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **_given: Any,
    ) -> None:
        """Remember what was logged, for the next report."""
        self._logged |= _numbers(logs or {})

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, Any] | None = None,
        **_given: Any,
    ) -> None:
        """An evaluation is a report."""
        self._logged |= _numbers(metrics or {})
        self._report(control)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_given: Any
    ) -> None:
        """An epoch ends; its evaluation, if any, comes after."""
        self._run.end_epoch()
        self._paused = True
        if args.eval_strategy == "no":
            self._report(control)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_given: Any
    ) -> None:
        """A run that was stopped between two evaluations reports why."""
        if self._run.stop and not self._reported:
            self._report(control)

    def _pause(self) -> None:
        if not self._paused:
            self._run.pause()
            self._paused = True

    def _report(self, control: TrainerControl) -> None:
        self._reported = True
        self._run.report(self._logged)
        if self._run.stop:
            control.should_training_stop = True


def _numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in logs.items()
        if isinstance(value, Real) and not isinstance(value, bool)
    }
