"""One training run: its limit is set, its energy metered, its power limits profiled, its cost capped."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from zeus_ray.records import NAN, Plan, StopReason
from zeus_ray.run.account import Account
from zeus_ray.run.boards import Boards
from zeus_ray.run.ledger import Ledger
from zeus_ray.run.limit import Limit
from zeus_ray.run.loader import samples_per_epoch
from zeus_ray.run.pace import Pace
from zeus_ray.run.rates import scaled_lr
from zeus_ray.run.timeline import write_parquet

Batch = TypeVar("Batch")


class Run:
    """What ``zeus.session`` hands to the training function.

    Attributes:
        batch_size: samples per step, over all GPUs of the run.
        stop: None, or why the run should end now. Under Ray Tune ``report`` ends the trial then;
            elsewhere the training loop looks at it.
    """

    def __init__(
        self,
        plan: Plan,
        boards: Boards,
        *,
        ledger: Ledger | None = None,
        window_s: float = 5.0,
        settle_s: float = 1.0,
    ) -> None:
        self.plan = plan
        self.batch_size = plan.knobs.batch_size
        self.stop: StopReason | None = None
        self._boards = boards
        self._account = Account(plan, boards, ledger or Ledger.open(None))
        self._pace = Pace(boards, self.batch_size)
        self._limit = Limit(plan, boards, self._pace, self._account, window_s=window_s, settle_s=settle_s)
        self._stepping = False
        self._check_cost_at_s = 0.0

    @property
    def note(self) -> str:
        """One line on what was lost, such as limits that may not be set; "" if nothing."""
        return self._limit.note

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
        for the epoch but not for the profile.
        """
        self._stepping = True
        expected = samples_per_epoch(loader, self.batch_size)
        self._account.samples_per_epoch = expected or self._account.samples_per_epoch
        left = expected if expected is not None else math.inf
        began = self._pace.samples
        self._limit.resume()
        for batch in loader:
            if self.stop:
                break
            samples = self.batch_size if left <= 0 else int(min(left, self.batch_size))
            if samples < self.batch_size:
                self._limit.pause()
            yield batch
            left -= samples
            self._stepped(samples)
        self._limit.pause()
        if expected is None and not self.stop:
            self._account.samples_per_epoch = self._pace.samples - began

    def _stepped(self, samples: int) -> None:
        """After each step: about a microsecond, unless a window ends or the cost is looked at."""
        self._pace.tick(samples)
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

    def scale_lr(self, base_lr: float, rule: str = "linear") -> float:
        """``base_lr``, tuned for the default batch size, scaled to this one ("linear", "sqrt", "none")."""
        default = self.plan.default_batch_size or self.batch_size
        return scaled_lr(base_lr, self.batch_size / default, rule)

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
        profile = self._limit.profile
        report = self._account.report(
            reading,
            epochs=epochs,
            stop=self.stop.value if self.stop else "",
            profile=profile.to_json() if profile else "",
        )
        return {**metrics, **report.to_result()}

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
