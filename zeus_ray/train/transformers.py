"""Hugging Face Transformers: ``Trainer(callbacks=[ZeusCallback(run)])`` meters and profiles its training.

A step of the ``Trainer`` is an optimizer step, whatever it accumulates. Evaluation, logging and saving count
for the energy and time of the run, but not for a profile. An evaluation before the first step is no report.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from zeus_ray.errors import BadInput
from zeus_ray.records import NAN
from zeus_ray.records.read_metric import as_number, is_number
from zeus_ray.training.loader_inspection import samples_per_epoch
from zeus_ray.training.training_run import TrainingRun

SET_SUFFIX = "_runtime"
"""Ends a metric that every evaluation has; before it stands the name of the evaluated set."""
ONE_SET = "eval"
"""The name of the evaluated set where there is only one."""


class ZeusCallback(TrainerCallback):  # type: ignore[misc]  # Transformers' types are not read
    """Tells the run of a session the steps, epochs and metrics of a Transformers ``Trainer``.

    It reports the newest evaluated and logged values after each evaluation, or after each epoch where nothing
    is evaluated. Several evaluation sets are one report, after the last of them; in the first round, whose
    last set is not known, that is when training goes on. Where the run should end it sets
    ``control.should_training_stop``; the ``Trainer``'s own early stopping works beside it.

    Args:
        run: from :func:`zeus_ray.session`, or from the session of ``zeus_ray.train.torch_trainer``.
    """

    def __init__(self, run: TrainingRun) -> None:
        run.count_steps()
        self._run = run
        self._training = False
        self._trained = False
        self._resumed = False
        self._reported = False
        self._tokens_seen = 0.0
        self._logged: dict[str, float] = {}
        self._rounds = 0
        self._evaluated: list[str] = []
        self._last_set = ONE_SET

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
        if self._run.unit == "tokens" and args.include_num_input_tokens_seen in (False, "no"):
            raise BadInput(
                "unit is 'tokens', which are not counted: include_num_input_tokens_seen=True counts them"
            )
        self._training, self._resumed = True, state.global_step > 0
        self._tokens_seen = float(state.num_input_tokens_seen)

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: Any = None,
        **_given: Any,
    ) -> None:
        """An epoch begins."""
        self._end_round(control)
        per_batch = self._run.batch_size // args.gradient_accumulation_steps
        self._run.begin_epoch(samples_per_epoch(train_dataloader, per_batch))

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_given: Any
    ) -> None:
        """The first micro-batch of a step begins the step."""
        self._end_round(control)
        self._run.before_step()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_given: Any
    ) -> None:
        """The optimizer has stepped; evaluation, saving or logging may follow before the next step."""
        self._reported, self._trained = False, True
        tokens, self._tokens_seen = (
            state.num_input_tokens_seen - self._tokens_seen,
            state.num_input_tokens_seen,
        )
        self._run.after_step(tokens=float(tokens) if self._run.unit == "tokens" else None)
        if self._run.stop:
            control.should_training_stop = True
        if control.should_evaluate or control.should_save or control.should_log:
            self._run.pause()

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_given: Any
    ) -> None:
        """An evaluation that was not scheduled by ``control``."""
        self._run.pause()

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
        """An evaluation is a report, or a part of one where there are several sets."""
        numbers = _numbers(metrics or {})
        self._logged |= numbers
        if not self._trained:
            return
        evaluated = next((n.removesuffix(SET_SUFFIX) for n in numbers if n.endswith(SET_SUFFIX)), ONE_SET)
        if evaluated in self._evaluated:
            self._end_round(control)
        self._evaluated.append(evaluated)
        if evaluated in (ONE_SET, self._last_set) or not self._training:
            self._end_round(control)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_given: Any
    ) -> None:
        """A checkpoint follows an evaluation."""
        self._end_round(control)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_given: Any
    ) -> None:
        """An epoch ends; its evaluation, if any, comes after. It is not complete where steps were limited."""
        self._end_round(control)
        whole = float(state.epoch or 0.0).is_integer()
        stopped = control.should_training_stop or control.should_epoch_stop
        self._run.end_epoch(complete=(whole or not stopped) and not self._resumed)
        self._resumed = False
        if args.eval_strategy == "no":
            self._report(control)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_given: Any
    ) -> None:
        """A run that was stopped between two evaluations reports why."""
        self._end_round(control)
        if self._run.stop and not self._reported:
            self._report(control)
        self._training = False
        target = self._run.plan.target
        if target is not None and target.metric not in self._logged:
            self._run.warn_once(
                f"the target metric {target.metric!r} was neither evaluated nor logged in training; there "
                f"were: {', '.join(map(repr, self._logged)) or 'none'}. Evaluate it (eval_strategy=...), or "
                "call trainer.evaluate() within the session"
            )

    def _end_round(self, control: TrainerControl) -> None:
        """All sets are evaluated: report them."""
        if self._evaluated:
            self._last_set, self._rounds = self._evaluated[-1], self._rounds + 1
            self._evaluated = []
            self._report(control)

    def _report(self, control: TrainerControl) -> None:
        self._reported = True
        self._run.report({**self._not_yet(), **self._logged})
        if self._run.stop:
            control.should_training_stop = True

    def _not_yet(self) -> dict[str, float]:
        """The target metric as NaN, where it may still come: with an evaluation, or what is logged first."""
        target = self._run.plan.target
        evaluates = target is not None and target.metric.startswith(ONE_SET)
        missing = self._rounds >= (1 if evaluates else 2)
        return {} if target is None or missing else {target.metric: NAN}


def _numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of ``logs``; a quoted number counts, which some loggers make of it for printing."""
    found = {name: _number(value) for name, value in logs.items()}
    return {name: value for name, value in found.items() if value is not None}


def _number(value: object) -> float | None:
    if isinstance(value, str):
        try:
            return as_number(float(value))
        except ValueError:
            return None
    return as_number(value) if is_number(value) else None
