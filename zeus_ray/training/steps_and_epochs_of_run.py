"""The steps and epochs of one training run: what is counted, what a window may hold, when the loop stops."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from zeus_ray.errors import BadInput
from zeus_ray.records import Plan, StopReason
from zeus_ray.training.leased_gpu_group import GpuGroup
from zeus_ray.training.samples_and_time import RunClock
from zeus_ray.training.select_limit_control import LimitControl
from zeus_ray.training.steps_loop import Batch, OneStep, one_pass

logger = logging.getLogger("zeus_ray")


class CountedRun(ABC):
    """Counts steps and epochs, for the clock and the power limit of a run.

    :class:`zeus_ray.training.training_run.TrainingRun` adds what is measured and reported.

    Attributes:
        plan: what the run was asked to do.
        batch_size: samples per optimizer step, over all GPUs of the run.
        accumulate: micro-batches per step; more than 1 where the batch does not fit in memory otherwise.
        step_ends: whether the optimizer should step with the present micro-batch.
        processes: how many share the run, each of which trains its part of every step.
        passes: loops over :meth:`steps` that have begun.
        logs_notes: whether this process logs what the user should know; of several of one job only one does.
    """

    logs_notes = True
    processes = 1

    def __init__(self, plan: Plan, group: GpuGroup, clock: RunClock, limit: LimitControl) -> None:
        self.plan = plan
        self.batch_size = plan.knobs.batch_size
        self.accumulate = plan.knobs.accumulate
        self.step_ends = True
        self.passes = 0
        self._group = group
        self._clock = clock
        self._limit = limit
        self._stop: StopReason | None = None
        self._one_step = OneStep(self)
        self._counts_steps = False
        self._paused = True
        self._whole_step = False
        self._said: set[str] = set()
        self._epoch_ends_s: list[float] = []
        self._check_cost_at_s = 0.0 if plan.knobs.cost_cap < math.inf else math.inf

    @property
    def stop(self) -> StopReason | None:
        """None, or why the run should end now; in a job of several processes only once all of them know.

        Under Ray Tune ``report`` ends the trial then; elsewhere the training loop has to check it, as
        :meth:`steps` does.
        """
        return self._stop

    @stop.setter
    def stop(self, reason: StopReason | None) -> None:
        """Set it; where several processes stop together, it is a wish until all of them know."""
        if reason is not None and self._group.stops_together:
            self._group.stop_wish = self._group.stop_wish or reason
        else:
            self._stop = reason

    @property
    def micro_batch_size(self) -> int:
        """Samples that go through the model at once, in this process: the batch size of the loader."""
        return self.batch_size // self.accumulate

    def steps(
        self,
        loader: Iterable[Batch],
        *,
        samples: int | None = None,
        tokens: Callable[[Batch], float] | None = None,
    ) -> Iterator[Batch]:
        """Iterate over ``loader`` for one epoch; profiles power limits and checks the cost cap meanwhile.

        One pass is one epoch, of whatever length. It ends early when ``stop`` is set. A last batch that is
        not full counts for the epoch but not for the profile. Where batches are accumulated, ``loader`` gives
        micro-batches, and ``step_ends`` says with which of them the optimizer should step. An evaluation
        within the loop belongs into ``with run.evaluating()``. The batch with which the loop is left by
        ``break`` counts as trained.

        Args:
            loader: gives the batches of one pass; it need not have a length.
            samples: samples of an epoch, over all GPUs, where the loop is left before the loader ends.
            tokens: the tokens of a batch of this process, where the run's unit is tokens.

        Raises:
            BadInput: several loaders, or batches of another size than ``micro_batch_size``.
        """
        return one_pass(self, loader, samples, tokens)

    def step(self, *, tokens: float | None = None) -> OneStep:
        """``with run.step(): ...`` is one optimizer step of ``batch_size`` samples, in any loop.

        Where gradients are accumulated, all micro-batches of the step are within one ``with``. What is
        between two steps counts for the energy and time of the run; where that is long, as an evaluation is,
        it is in no profile, and neither is a step that raises.

        Args:
            tokens: tokens of the step, over all processes, where the run's unit is tokens.
        """
        self._one_step.tokens = tokens
        return self._one_step

    def leave_epoch(self, *, in_step: bool, samples: int | None, tokens: float | None = None) -> None:
        """The loop was left before its loader ended, by ``break`` or an error in a step of ``samples``."""
        if self._group.released:
            return
        if in_step:
            self._limit.partial_step(self._clock.end_step(samples), tokens)
        if self._group.by_steps and not self._group.stops_together:  # others may go on: they cannot be asked
            self._limit.drop()
            self._paused = True
        self.end_epoch(complete=False)
        if not self._clock.samples_per_epoch and self.plan.online is None:
            self.warn_once(
                "the loop over run.steps was left before its loader ended, which has no length: epochs are "
                "not counted. Give run.steps(loader, samples=...), the samples of an epoch"
            )

    # The parts of `steps`, for training loops of a framework.

    def count_steps(self) -> None:
        """This loop tells its steps, from now on: a report is not the end of an epoch, as it is without."""
        self._check_open()
        self._counts_steps = True

    def begin_epoch(self, samples: int | None) -> None:
        """An epoch begins, of ``samples`` where that is known."""
        self.count_steps()
        self._clock.begin_epoch(samples)
        self.resume()

    def end_epoch(self, *, complete: bool | None = None) -> None:
        """An epoch ends; if ``complete`` (None: unless the run stops), its length is known now."""
        self.pause()
        complete = self.stop is None if complete is None else complete
        self._clock.end_epoch(complete=complete)
        if complete:
            self._epoch_ends_s.append(self._clock.now_s())

    def resume(self) -> None:
        """Training continues after a pause, as it does with the next step. Does nothing while it trains."""
        if self._paused:
            self._paused = False
            self._limit.resume()

    def pause(self) -> None:
        """Training pauses, for an evaluation or a checkpoint, which belongs in no profile; see `evaluating`.

        Energy and time of the run go on. Does nothing while training is paused.
        """
        if not self._paused:
            self._paused = True
            self._limit.pause()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """``with run.evaluating(): ...`` within the loop over ``steps``: :meth:`pause`, then :meth:`resume`.

        Within a job of several processes each of them has to do so, at the same step.
        """
        self.pause()
        yield
        self.resume()

    def before_step(self, samples: int | None = None) -> None:
        """An optimizer step begins: of ``samples``, of a whole batch, or of what is left of the epoch."""
        self._whole_step = self._clock.begin_step(self._same_everywhere(samples))
        if self._whole_step:
            self.resume()
        else:
            self.pause()

    def _same_everywhere(self, samples: int | None) -> int | None:
        """Several processes that each saw another size would end their windows at different steps."""
        return None if self._group.by_steps else samples

    def after_step(self, samples: int | None = None, tokens: float | None = None) -> None:
        """The step is done, of ``samples`` at most. Takes about a microsecond, unless a window ends."""
        if self._paused and self._whole_step:
            self.resume()  # an evaluation within the step is over: the step's samples count with its time
        counted = self._clock.end_step(self._same_everywhere(samples))
        if not self._whole_step:
            self._limit.partial_step(counted, tokens)
        elif self._limit.step(counted, tokens):
            self._agree_on_stop()
        if self._check_cost_at_s < math.inf:
            self.check()

    def _agree_on_stop(self) -> None:
        """After an exchange: stop where rank 0 wishes to, or where no other process can be asked any more."""
        alone = None if self._group.stops_together else self._group.stop_wish
        self._stop = self._stop or self._group.agreed_stop or alone

    def check(self) -> StopReason | None:
        """Check the cost cap where it is time. For a loop that does not tell its steps, between reports."""
        if self._stop is None and self._limit.settled and self._clock.now_s() >= self._check_cost_at_s:
            self._check_cost()
        return self._stop

    @abstractmethod
    def _check_cost(self) -> None:
        """Stop at the cost cap; the cost is known to the subclass."""

    def _check_open(self) -> None:
        """Raise BadInput after the end of the session: nothing is measured any more."""
        if self._group.released:
            raise BadInput(
                "the session has ended, so energy and time are not measured any more: train and report "
                "within `with zeus_ray.session(...) as run:`"
            )

    def warn_once(self, message: str) -> None:
        """Warn, of each thing once."""
        if self.logs_notes and message and message not in self._said:
            self._said.add(message)
            logger.warning("zeus-ray: %s", message)
