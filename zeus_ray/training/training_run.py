"""One training run: its limit is set, its energy metered, its power limits profiled, its cost capped."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from zeus_ray.errors import BadInput
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.objective import stop_reason
from zeus_ray.records import NAN, Plan, StopReason, TrialReport, check_metric, read_metric
from zeus_ray.records.window_usage import WindowUsage
from zeus_ray.reporting.pictures.picture import Picture
from zeus_ray.reporting.pictures.power_over_time_picture import power_picture
from zeus_ray.reporting.pictures.power_trace_parquet import PowerTraceInfo, write_power_traces
from zeus_ray.training.leased_gpu_group import GpuGroup, PowerPoints
from zeus_ray.training.lr_scaling_and_warm_up import LrRule, ScaledLr, WarmUp, scaled, warm_up
from zeus_ray.training.named_windows import NamedWindows
from zeus_ray.training.report_builder import ReportBuilder
from zeus_ray.training.run_repr import run_html, run_repr
from zeus_ray.training.samples_and_time import RunClock
from zeus_ray.training.select_limit_control import limit_control_of
from zeus_ray.training.steps_and_epochs_of_run import CountedRun
from zeus_ray.training.store_power_trace import store_power_trace
from zeus_ray.training.usage_of_earlier_attempts import AttemptLog

logger = logging.getLogger("zeus_ray")


class TrainingRun(CountedRun):
    """What ``zeus.session`` gives to the training function.

    Attributes:
        config: the trial's config without ``config["zeus"]``, to pass on to libraries.
        last_report: what the last report carried; None before the first.
        strict_metric: whether a report without the target metric, or with a text for it, is an error.
    """

    strict_metric = True

    def __init__(
        self,
        plan: Plan,
        group: GpuGroup,
        *,
        attempts: AttemptLog | None = None,
        window_s: float = 5.0,
        settle_s: float = 1.0,
    ) -> None:
        clock = RunClock(group, plan.knobs.batch_size)
        self._attempts = attempts or AttemptLog()
        self._reports = ReportBuilder(plan, group, clock, self._attempts)
        limit = limit_control_of(
            plan,
            group,
            clock,
            self._attempts,
            max_power_w=self._reports.max_power_w,
            window_s=window_s,
            settle_s=settle_s,
        )
        super().__init__(plan, group, clock, limit)
        self.config: dict[str, Any] = {}
        self.last_report: TrialReport | None = None
        self._windows = NamedWindows(self._read_mine, clock.finish)
        self._scaled_lr: ScaledLr | None = None

    def __repr__(self) -> str:
        return run_repr(self)

    def _repr_html_(self) -> str:
        """For a notebook."""
        return run_html(self)

    @property
    def unit(self) -> str:
        """What the run counts: "steps", "samples" or "tokens"; "" where a search has planned it."""
        return self.plan.online.unit if self.plan.online else ""

    @property
    def gpu(self) -> str:
        """The kind of GPU ("" without one)."""
        return self._group.gpu

    @property
    def measured_by(self) -> str:
        """Where the energy comes from, as in a report."""
        return self._group.measured_by.value

    @property
    def note(self) -> str:
        """What the user should know at the start, such as that limits may not be set; "" if nothing."""
        before = self._reports.moved_from
        moved = f"this trial began on {before} and continues on {self.gpu}." if before else ""
        return " ".join(filter(None, (moved, self._limit.note)))

    @property
    def advice(self) -> str:
        """Where no limit may be set: what one would have saved, by a recorded profile; "" elsewhere."""
        return self._reports.advice(self._clock.last)

    @property
    def unfinished(self) -> str:
        """At the end, that the power profile is not complete, and what to do; "" otherwise."""
        return "" if self.stop == StopReason.OUT_OF_MEMORY else self._limit.unfinished

    def begin(self, *, from_checkpoint: bool = False) -> None:
        """Write a first entry of the attempt log: an attempt killed before its first report used energy too.

        ``from_checkpoint``: training continues where an earlier attempt was, whose epochs count.
        """
        if from_checkpoint:
            self._clock.samples_before = self._attempts.samples
        if self._group.held:
            self._reports.log(self._clock.read(), self._limit.profile_so_far)

    def power_trace(self) -> PowerPoints:
        """The first GPU's power so far: (time_s, power_w, power_limit_w), thinned as it grows."""
        return next(iter(self._group.power_traces().values()), [])

    def power_picture(self, title: str = "Power of one training") -> Picture:
        """The first GPU's power so far, its limit, and where epochs ended. Raises BadInput without a GPU."""
        return power_picture(
            self.power_trace(),
            gpu=self.gpu,
            measured_by=self.measured_by,
            epoch_ends_s=self._epoch_ends_s,
            title=title,
        )

    def write_power_trace(self, path: str | os.PathLike[str]) -> None:
        """Write every GPU's power so far to Parquet: gpu, time_s, power_w, power_limit_w. Raises OSError."""
        info = PowerTraceInfo(
            gpu=self.gpu, measured_by=self.measured_by, epoch_ends_s=tuple(self._epoch_ends_s)
        )
        write_power_traces(path, self._group.power_traces(), info)

    def store_power_trace(self) -> None:
        """Store a bounded trace beside the attempt's usage, at the end of the session."""
        store_power_trace(self._attempts, self._group, self._epoch_ends_s)

    # --- named windows ---------------------------------------------------------------------------

    @contextmanager
    def window(self, name: str, *, synchronize: bool = False) -> Iterator[None]:
        """``with run.window("forward"): ...`` measures energy and time of a part of the run, under a name.

        Windows of different names may be nested; :meth:`begin_window` and :meth:`end_window` also let them
        overlap. Repetitions of a name add up in :attr:`windows` and in the result key ``zeus/windows``. A
        window changes neither the steps nor the profile of the run, and reads the GPUs twice.

        Args:
            name: of the part.
            synchronize: wait at both ends until the GPUs have done the queued work. Without it, work that was
                queued before counts, and work that is still queued at the end does not; with it, the GPU
                is idle for a moment at each end.

        Raises:
            BadInput: a window of this name is open.
        """
        self.begin_window(name, synchronize=synchronize)
        try:
            yield
        finally:
            self.end_window(name, synchronize=synchronize)

    def begin_window(self, name: str, *, synchronize: bool = False) -> None:
        """Open a window that :meth:`end_window` closes; see :meth:`window`."""
        self._windows.begin(name, synchronize=synchronize)

    def end_window(self, name: str, *, synchronize: bool = False) -> WindowUsage:
        """Close a window, and return what it used this time. Raises BadInput where it is not open."""
        used = self._windows.end(name, synchronize=synchronize)
        if self._group.virtual and used.time_s == 0:
            self.warn_once(
                f"window {name!r} contains no whole step, and time on a simulated GPU passes with whole "
                "steps: it shows no energy and no time; put whole steps into it"
            )
        return used

    @property
    def windows(self) -> Mapping[str, WindowUsage]:
        """What each named window has used in this attempt, by name: the GPUs of this process alone."""
        return dict(self._windows.usage)

    def _read_mine(self) -> Reading:
        """The GPUs of this process, without asking other processes, which may open other windows."""
        if not self._group.virtual:
            return self._group.mine.read()
        return (
            self._clock.read() if self._counts_steps else self._group.read()
        )  # wall time stays to be counted

    def _check_cost(self) -> None:
        """Stop at the cost cap. Checks again after half the time that is left at the present rate."""
        reading = self._clock.read()
        cap, cost = self.plan.knobs.cost_cap, self._reports.cost(reading)
        self.stop = stop_reason(cost=cost, cost_cap=cap)
        if self.stop is None:
            rate = cost / reading.time_s if reading.time_s > 0 else math.inf
            left_s = (cap - cost) / rate if rate > 0 else math.inf
            self._check_cost_at_s = reading.time_s + max(1.0, 0.5 * left_s)

    def computed(self, seconds: float) -> None:
        """In a pipeline: this process has computed for ``seconds`` of the present step, and else waited.

        Called in every process of a job whose sessions say their ``stage``, once or several times per step.
        The stage that computes longest keeps its speed; others get lower limits where that costs no time.
        """
        self._limit.computed(seconds)

    def set_energy_price(self, price: float) -> None:
        """A joule costs ``price`` times its long-run mean from now on (carbon, a tariff): the limit follows.

        Only for a run that chooses its limit while it trains. In a job of several processes rank 0's counts.

        Raises:
            BadInput: not a number, or the limit of this run was planned by a search.
        """
        self._limit.set_energy_price(price)

    def scale_lr(self, base_lr: float, rule: LrRule = "linear") -> float:
        """``base_lr``, tuned for the default batch size, scaled to this one; the report carries it.

        Args:
            base_lr: the learning rate of the default batch size.
            rule: "linear" for SGD, "sqrt" for Adam-like optimisers, "none", or a function from the ratio of
                the batch sizes to the factor. See :mod:`zeus_ray.training.lr_scaling_and_warm_up`.
        """
        default = self.plan.default_batch_size or self.batch_size
        self._scaled_lr = scaled(base_lr, self.batch_size / default, rule)
        return self._scaled_lr.lr

    def warm_up(self, steps: int) -> WarmUp:
        """From the base to the scaled learning rate: ``LambdaLR(optimizer, run.warm_up(500))``."""
        return warm_up(self._scaled_lr, steps)

    # --- reporting -----------------------------------------------------------------------------

    def report(self, metrics: Mapping[str, Any], **options: Any) -> dict[str, Any]:  # noqa: ANN401 — Tune's own
        """Report ``metrics`` and all ``zeus/`` keys to Ray Tune; outside a framework only return them.

        ``options`` such as ``checkpoint=`` are passed on.

        Raises:
            BadInput: outside Ray Tune, the target metric is missing or a text.
        """
        self._check_metric(metrics)
        result = self.measure(metrics)
        self.send(result, **options)
        return result

    def send(self, result: dict[str, Any], **options: Any) -> None:  # noqa: ANN401 — Tune's own
        """Pass a result on. Outside a framework nothing happens; adapters override it."""

    def measure(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """``metrics`` with all ``zeus/`` keys; decides ``stop``.

        A function that never used ``steps`` trained from the last report to this one: that counts as one
        epoch, and as one window of the profile.

        Raises:
            BadInput: the session has ended.
        """
        self._check_open()
        if not self._counts_steps:
            self._clock.edge_by_wall()  # the interval belongs to the limit that was in force
            self._clock.count_interval()
            self._limit.interval()
        reading = self._clock.edge() if self._counts_steps else self._clock.edge_by_wall()
        self._reports.record_metric(self._metric(metrics), reading)
        self.stop = self.stop or stop_reason(
            reached=self._reports.target_reached,
            epochs=self._clock.epochs,
            max_epochs=self.plan.max_epochs,
            cost=self._reports.cost(reading) if self._limit.settled else NAN,
            cost_cap=self.plan.knobs.cost_cap,
        )
        if self.stop:
            self._limit.finish(partial=True)
        self._reports.log(reading, self._limit.profile_so_far, self._limit.per_unit)
        report = self._reports.report(
            reading,
            stop=self.stop,
            profile=self._limit.profile,
            profile_so_far=self._limit.profile_so_far,
            per_unit=self._limit.report(reading),
            scaled_lr=self._scaled_lr,
            windows=self._windows.to_json(),
        )
        self.last_report = report
        return {**metrics, **report.to_result()}

    def out_of_memory(self, error: Exception) -> None:
        """Report that the batch size does not fit: a result of the search, not a failed trial.

        Raises:
            Exception: ``error`` itself, where there is no target, so that no metric can be reported.
        """
        if self.plan.target is None:
            raise error
        self.stop = StopReason.OUT_OF_MEMORY
        self.report({self.plan.target.metric: NAN})

    def _metric(self, metrics: Mapping[str, Any]) -> float:
        return read_metric(metrics, self.plan.target.metric) if self.plan.target else NAN

    def _check_metric(self, metrics: Mapping[str, Any]) -> None:
        if self.plan.target is None:
            return
        try:
            self.warn_once(check_metric(metrics, self.plan.target.metric))
        except BadInput as error:
            if self.strict_metric:
                raise
            self.warn_once(str(error))
