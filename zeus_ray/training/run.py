"""One training run: its limit is set, its energy metered, its power limits profiled, its cost capped."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any, TypeVar

from zeus_ray.errors import BadInput
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.records import NAN, Plan, PowerProfile, StopReason, to_json
from zeus_ray.training.attempts import AttemptLog
from zeus_ray.training.gpu_group import GpuGroup
from zeus_ray.training.limit_control import LimitController
from zeus_ray.training.loaders import samples_per_epoch
from zeus_ray.training.lr_scaling import LrRule, ScaledLr, WarmUp, scaled, warm_up
from zeus_ray.training.power_trace_file import write_parquet
from zeus_ray.training.report_builder import ReportBuilder
from zeus_ray.training.run_clock import RunClock
from zeus_ray.training.savings_estimate import advice

Batch = TypeVar("Batch")


class TrainingRun:
    """What ``zeus.session`` hands to the training function.

    Attributes:
        batch_size: samples per optimizer step, over all GPUs of the run.
        accumulate: micro-batches a step; more than 1 where the batch size does not fit otherwise.
        step_ends: whether the optimizer should step with the present micro-batch.
        stop: None, or why the run should end now. Under Ray Tune ``report`` ends the trial then;
            elsewhere the training loop looks at it.
    """

    def __init__(
        self,
        plan: Plan,
        boards: GpuGroup,
        *,
        ledger: AttemptLog | None = None,
        window_s: float = 5.0,
        settle_s: float = 1.0,
    ) -> None:
        self.plan = plan
        self.batch_size = plan.knobs.batch_size
        self.accumulate = plan.knobs.accumulate
        self.step_ends = True
        self.stop: StopReason | None = None
        self._boards = boards
        ledger = ledger or AttemptLog.open(None)
        self._account = ReportBuilder(plan, boards, ledger)
        self._pace = RunClock(boards, self.batch_size)
        self._limit = LimitController(
            plan,
            boards,
            self._pace,
            self._account,
            measured=ledger.profiles,
            window_s=window_s,
            settle_s=settle_s,
        )
        before = self._account.moved_from
        self._moved = f"this trial began on {before} and goes on on {self.gpu}." if before else ""
        self._stepping = False
        self._left: float = math.inf  # samples of this epoch
        self._began = 0  # samples before it
        self._samples = 0  # of this step
        self._check_cost_at_s = 0.0
        self._scaled: ScaledLr | None = None

    @property
    def micro_batch_size(self) -> int:
        """Samples that go through the model at once, in this process: what the loader should give."""
        return self.batch_size // self.accumulate

    @property
    def gpu(self) -> str:
        """The kind of card ("" without one)."""
        return self._boards.gpu

    @property
    def measured_by(self) -> str:
        """Where its joules come from, as in a report."""
        return self._boards.measured_by.value

    @property
    def note(self) -> str:
        """One line on what was lost, such as limits that may not be set; "" if nothing."""
        return " ".join(filter(None, (self._moved, self._limit.note)))

    def go_on(self) -> None:
        """The training function goes on from a checkpoint: epochs are counted on, as energy and time are."""
        self._account.go_on()
        self.begin()

    def begin(self) -> None:
        """A first entry of the books: an attempt killed before its first report has used energy, too."""
        if self._boards.held:
            self._enter(self._pace.glance())

    @property
    def advice(self) -> str:
        """Where no limit may be set: what the recorded profile says one would have saved; else ""."""
        if self._boards.may_set or not len(self._boards):
            return ""
        reading = self._pace.last
        return advice(
            self.plan,
            self._boards.gpu,
            max_power_w=self._account.max_power_w,
            gpus=len(self._boards),
            energy_j=self._account.measured(reading).energy_j,
            limit_w=reading.power_limit_w,
        )

    def power_timeline(self) -> list[tuple[float, float, float]]:
        """The first board's power so far: (time_s, power_w, power_limit_w), thinned as it grows."""
        return self._boards.timeline()

    def write_power_timeline(self, path: str | os.PathLike[str]) -> None:
        """Write every board's power so far to a Parquet file: gpu, time_s, power_w, power_limit_w.

        Raises OSError.
        """
        write_parquet(path, self._boards.timelines())

    # --- training ------------------------------------------------------------------------------

    def steps(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        """Iterate over ``loader``; power limits are profiled just in time, and the cost cap holds.

        Ends early when ``stop`` is set. One pass is one epoch. A last batch that is not full counts
        for the epoch but not for the profile. Where batches are accumulated, ``loader`` gives
        micro-batches, and ``step_ends`` says with which of them the optimizer should step.
        """
        batches = len(loader) if isinstance(loader, Sized) else None
        self._check_parts(getattr(loader, "batch_size", None))
        self.begin_epoch(samples_per_epoch(loader, self.batch_size // self.accumulate))
        for number, batch in enumerate(loader, 1):
            if self.stop:
                break
            if self.step_ends:
                self.before_step()
            self.step_ends = number % self.accumulate == 0 or number == batches
            yield batch
            if self.step_ends:
                self.after_step()
        self.step_ends = True
        self.end_epoch()

    def _check_parts(self, size: object) -> None:
        """A loader of whole batches would run out of memory again, and look like another batch size."""
        if self.accumulate > 1 and isinstance(size, int) and size != self.micro_batch_size:
            raise BadInput(
                f"the loader gives {size} samples at once, but only {self.micro_batch_size} fit: give it "
                "run.micro_batch_size, and step the optimizer where run.step_ends"
            )

    # What `steps` does, for loops that are a framework's.

    def begin_epoch(self, samples: int | None) -> None:
        """An epoch begins; ``samples``: how many it will train, where that is known."""
        self._stepping = True
        self._account.samples_per_epoch = samples or self._account.samples_per_epoch
        self._left = math.inf if samples is None else samples
        self._began = self._pace.samples
        self.resume()

    def end_epoch(self) -> None:
        """An epoch ends: now its length is known."""
        self.pause()
        if self._left == math.inf and not self.stop:
            self._account.samples_per_epoch = self._pace.samples - self._began

    def resume(self) -> None:
        """Training goes on after an evaluation."""
        self._limit.resume()

    def pause(self) -> None:
        """Training stops for a while, such as for an evaluation, which no profile should see."""
        self._limit.pause()

    def before_step(self) -> None:
        """An optimizer step begins: of a whole batch, or of what is left of the epoch."""
        self._samples = self.batch_size if self._left <= 0 else int(min(self._left, self.batch_size))
        if self._samples < self.batch_size:
            self._limit.pause()

    def after_step(self) -> None:
        """The step is done. About a microsecond, unless a window ends or the cost is looked at."""
        self._left -= self._samples
        self._pace.tick(self._samples)
        if not self._limit.settled:
            self._limit.step()
        elif self._pace.now_s() >= self._check_cost_at_s:
            self._check_cost()

    def _check_cost(self) -> None:
        """Stop at the cap. Looks again after half the time that is left at the present rate."""
        reading = self._pace.glance()
        cap, cost = self.plan.knobs.cost_cap, self._account.cost(reading)
        if cost >= cap:
            self.stop = StopReason.COST_CAP if cap > 0 else StopReason.PROFILED
            return
        rate = cost / reading.time_s if reading.time_s > 0 else math.inf
        left_s = (cap - cost) / rate if rate > 0 else math.inf
        self._check_cost_at_s = reading.time_s + max(1.0, 0.5 * left_s)

    def check(self) -> StopReason | None:
        """Hold the cost cap between reports, for a loop that says neither steps nor epochs."""
        if self.stop is None and self._limit.settled and self._pace.now_s() >= self._check_cost_at_s:
            self._check_cost()
        return self.stop

    def scale_lr(self, base_lr: float, rule: LrRule = "linear") -> float:
        """``base_lr``, tuned for the default batch size, scaled to this one; the report tells it.

        ``rule``: "linear" for SGD, "sqrt" for Adam-like optimisers, "none", or a function from the ratio
        of the batch sizes to the factor. See :mod:`zeus_ray.training.lr_scaling`.
        """
        default = self.plan.default_batch_size or self.batch_size
        self._scaled = scaled(base_lr, self.batch_size / default, rule)
        return self._scaled.lr

    def warm_up(self, steps: int) -> WarmUp:
        """From the base to the scaled learning rate: ``LambdaLR(optimizer, run.warm_up(500))``."""
        return warm_up(self._scaled, steps)

    # --- reporting -----------------------------------------------------------------------------

    def report(self, metrics: Mapping[str, Any], **options: Any) -> dict[str, Any]:  # noqa: ANN401 — Tune's own
        """Report to Ray Tune (``options`` such as ``checkpoint=`` go there); elsewhere only return.

        Returns ``metrics`` merged with all ``zeus/`` keys.
        """
        result = self.measure(metrics)
        self.send(result, **options)
        return result

    def send(self, result: dict[str, Any], **options: Any) -> None:  # noqa: ANN401 — Tune's own
        """Where a result goes. Outside a framework: nowhere; an adapter overrides it."""

    def measure(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """``metrics`` with all ``zeus/`` keys; decides ``stop``.

        A function that never used ``steps`` trained from the last report to this one: that is
        taken as one epoch, and as one window of the profile.
        """
        if not self._stepping:
            self._account.samples_per_epoch = 1
            self._pace.count_interval()
            self._limit.interval()
        reading = self._pace.edge() if self._stepping else self._pace.edge_by_wall()
        reached = self._account.observe(self._metric(metrics), reading)
        epochs = self._account.epochs(self._pace.samples)
        self.stop = self.stop or self._why_stop(reached, epochs, self._account.cost(reading))
        if self.stop:
            self._limit.finish(partial=True)
        self._enter(reading)
        report = self._account.report(
            reading,
            samples=self._pace.samples,
            stop=self.stop.value if self.stop else "",
            profile=_json(self._limit.profile),
        )
        so_far = "" if report.profile else _json(self._limit.so_far)
        report = dataclasses.replace(report, profile_so_far=so_far, advice=self.advice, **self._rate())
        return {**metrics, **report.to_result()}

    def _rate(self) -> dict[str, Any]:
        """The learning rate and its rule, where ``scale_lr`` was used."""
        return {"lr": self._scaled.lr, "lr_rule": self._scaled.rule} if self._scaled else {}

    def _enter(self, reading: Reading) -> None:
        self._account.enter(reading, samples=self._pace.samples, profile=_json(self._limit.so_far))

    def _metric(self, metrics: Mapping[str, Any]) -> float:
        return float(metrics.get(self.plan.target.metric, NAN)) if self.plan.target else NAN

    def _why_stop(self, reached: bool, epochs: float, cost: float) -> StopReason | None:
        if reached:
            return StopReason.TARGET_REACHED
        if epochs >= self.plan.max_epochs:
            return StopReason.MAX_EPOCHS
        if cost >= self.plan.knobs.cost_cap and self._limit.settled:
            return StopReason.COST_CAP
        return None


def _json(profile: PowerProfile | None) -> str:
    return to_json(profile) if profile else ""
