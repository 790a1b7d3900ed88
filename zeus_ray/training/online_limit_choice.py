"""Which limit to hold and which to measure next, from what is known so far."""

from __future__ import annotations

import math
from collections.abc import Sequence

from zeus_ray.objective import eta_at, max_power_or_fallback_w
from zeus_ray.training.limit_curve import LimitCurve, best_index, cost_curve, improvement
from zeus_ray.training.merge_rank_windows import GroupWindow
from zeus_ray.training.online_records import ControllerState, LimitRecord, OnlineSettings
from zeus_ray.training.pipeline_stage_limits import StageCurve, share_limits

SURPRISE_SDS = 3.5
BRACKET_GAIN = 0.01
"""A limit below all measured ones is measured where cost could fall by more than this (ln)."""
CHECK_EVERY, CHECK_EVERY_S = 0.25, 1200.0
"""The limits next to the one held are measured again after this share of the run, at least these seconds."""


class LimitChoice:
    """Chooses among ``settings.limits_w`` by index; reads ``state`` and leaves decisions to its owner.

    Attributes:
        usable: the limits within the power budget, highest first.
        top: the highest of them, with which all are compared.
    """

    def __init__(self, settings: OnlineSettings, state: ControllerState) -> None:
        self.settings = settings
        self.state = state
        gpus, budget_w = sum(settings.gpus), settings.power_budget_w
        self.usable = [i for i, w in enumerate(settings.limits_w) if budget_w is None or w * gpus <= budget_w]
        self.top = self.usable[0]
        self.max_power_w = max_power_or_fallback_w(settings.max_power_w or settings.limits_w[0])

    @property
    def eta(self) -> float:
        """The weight of energy at the present price."""
        return eta_at(self.settings.weight, self.state.price)

    def ratios(self) -> list[float]:
        """Each limit over the uncapped power per GPU, as far as that is known."""
        record = self.state.records[self.top]
        uncapped_w = math.exp(record.power.mean) if record.power else 0.8 * self.settings.limits_w[0]
        return [w / uncapped_w for w in self.settings.limits_w]

    def _doubt_slow(self) -> None:
        """A limit measured slower than a lower one was probably disturbed: once, it counts for little."""
        records = self.state.records
        for i, higher in enumerate(records):
            for lower in records[i + 1 :]:
                if higher.time is None or lower.time is None or higher.doubted:
                    continue
                excess = higher.time.mean - lower.time.mean
                if excess > max(0.02, 4 * math.sqrt(higher.time.var + lower.time.var)):
                    higher.doubted = True
                    higher.time.var += excess**2

    def curves(self) -> tuple[LimitCurve, LimitCurve]:
        """Posterior of (time, cost) over the limits."""
        ratios, records = self.ratios(), self.state.records
        times = {i: r.time for i, r in enumerate(records) if r.time is not None}
        powers = {i: r.power for i, r in enumerate(records) if r.power is not None}
        time = LimitCurve.fit(ratios, times, "time")
        power = LimitCurve.fit(ratios, powers, "power")
        return time, cost_curve(time, power, self.eta, self.max_power_w)

    def _margin(self, time: LimitCurve, k: int, sds: float) -> float:
        """How far (ln) limit ``k`` stays within the allowed slow-down, ``sds`` standard deviations on."""
        allowed = self.settings.max_slowdown or math.inf
        work_s, extra_s = self.work()
        surplus_s = (allowed - 1) * work_s - extra_s
        if surplus_s < 0:  # profiling has used more than its part: pay back over as long again, or 5 min
            allowed = max(1.0, allowed + surplus_s / max(work_s, 300.0))
        var = time.cov[k][k] + time.cov[self.top][self.top] - 2 * time.cov[k][self.top]
        slower = time.mean[k] - time.mean[self.top] + sds * math.sqrt(max(var, 0.0))
        return math.log(allowed) - (0.0 if k == self.top else slower)

    def allowed(self, time: LimitCurve) -> list[int]:
        """The limits that may be held for long: measured or not, but surely within the slow-down."""
        if self.settings.max_slowdown is None:
            return self.usable
        return [k for k in self.usable if k == self.top or self._margin(time, k, 1.0) >= 0]

    def best(self, curves: tuple[LimitCurve, LimitCurve]) -> int:
        """The best limit to hold: measured, unless another is clearly better."""
        time, cost = curves
        allowed = self.allowed(time)
        known = [k for k in allowed if self.state.records[k].time is not None] or [self.top]
        return best_index(cost, known)

    def next_probe(self, least_gain: float) -> int | None:
        """The limit whose window is expected to lower the cost most; None if by less than ``least_gain``."""
        self._doubt_slow()
        time, cost = curves = self.curves()
        allowed = self.allowed(time)
        best = self.best(curves)
        gains = {k: improvement(cost, k, best, allowed, self.state.noise_var) for k in allowed}
        for k in self.usable if self.settings.max_slowdown is not None else ():
            value = self._unlocked(time, cost, k, best)
            if value > gains.get(k, 0.0):
                gains[self._less_known(time, k)] = value
        k = max(gains, key=lambda i: (gains[i], -i), default=best)
        return k if gains.get(k, 0.0) > least_gain else self._beyond_lowest(cost, best, allowed)

    def _beyond_lowest(self, cost: LimitCurve, best: int, allowed: Sequence[int]) -> int | None:
        """The next limit below the best, where that is the lowest measured one and cost still falls there.

        The curves know the usual shape only; a load that hardly slows down has its best limit far below. Cost
        is convex over ln(limit), so that the line through the two lowest measured limits is a lower bound.
        """
        known = [k for k in allowed if self.state.records[k].time is not None]
        below = [k for k in allowed if k > best]
        if not below or len(known) < 2 or best != known[-1]:
            return None
        x, here, above = [math.log(w) for w in self.settings.limits_w], known[-1], known[-2]
        falls = (cost.mean[above] - cost.mean[here]) / (x[above] - x[here])
        return below[0] if falls * (x[here] - x[below[0]]) > BRACKET_GAIN else None

    def _unlocked(self, time: LimitCurve, cost: LimitCurve, k: int, best: int) -> float:
        """Expected gain (ln) of learning that limit ``k`` keeps within the slow-down; 0 if not affordable."""
        var = time.cov[k][k] + time.cov[self.top][self.top] - 2 * time.cov[k][self.top]
        margin = self._margin(time, k, 0.0)
        sd = math.sqrt(max(var, 1e-12))
        likely = 0.5 * math.erfc(-margin / sd / math.sqrt(2))
        if k == self.top or likely < 0.1 or self._margin(time, k, 1.0) >= 0:
            return 0.0
        work_s, extra_s = self.work()
        window_s = self.settings.window_s + self.settings.settle_s
        debt_s = extra_s + window_s * math.expm1(time.mean[k] - time.mean[self.top])
        budget_s = ((self.settings.max_slowdown or 1) - 1 + 0.004) * max(work_s + window_s, 300.0)
        if debt_s > budget_s or sd < 0.005:
            return 0.0
        return likely * max(0.0, cost.mean[best] - cost.mean[k])

    def _less_known(self, time: LimitCurve, k: int) -> int:
        return k if time.cov[k][k] >= time.cov[self.top][self.top] else self.top

    def neighbour_to_check(self) -> int | None:
        """A limit next to the one held that was measured long ago, perhaps while something disturbed it."""
        state = self.state
        old_s = max(CHECK_EVERY_S, CHECK_EVERY * state.elapsed_s)
        at = self.usable.index(state.pending)
        for apart in (1, 2):
            for k in (*self.usable[max(0, at - apart) : at][:1], *self.usable[at + apart : at + apart + 1]):
                record = state.records[k]
                if record.time is not None and state.elapsed_s - record.seen_s > apart**2 * old_s:
                    margin = (
                        1.0 if self.settings.max_slowdown is None else self._margin(self.curves()[0], k, 0.0)
                    )
                    if margin > -0.02:
                        return k
        return None

    def surprise(self, window: GroupWindow) -> bool:
        """Whether the time of a window contradicts all other limits together (a disturbance while it ran)."""
        return self._seen_elsewhere() >= 3 and self.unexpected(window, sds=SURPRISE_SDS)

    def unexpected(self, window: GroupWindow, *, sds: float = 1.5) -> bool:
        """Whether the time of a window is so many standard deviations from what the other limits say."""
        state, k = self.state, self.state.pending
        if state.phase != "profile" or state.records[self.top].power is None or k == self.top:
            return False
        others = {i: r.time for i, r in enumerate(state.records) if r.time is not None and i != k}
        expected = LimitCurve.fit(self.ratios(), others, "time")
        return abs(window.time.mean - expected.mean[k]) > sds * math.sqrt(
            expected.cov[k][k] + window.time.var
        )

    def _seen_elsewhere(self) -> int:
        return sum(r.time is not None and i != self.state.pending for i, r in enumerate(self.state.records))

    def work(self) -> tuple[float, float]:
        """Seconds that the work so far takes at the highest limit, and the seconds it took beyond that."""
        state = self.state
        work_s, extra_s = state.closed_work_s, state.closed_extra_s
        top = state.records[self.top].time
        if top is None:
            return work_s, extra_s
        unit_s = math.exp(top.mean)
        for record in (*state.records, state.shared_record):
            work_s += record.units * unit_s
            if record.time is not None and record.units:
                extra_s += record.units * (math.exp(record.time.mean) - unit_s)
        return work_s, extra_s

    def record_cost(self, record: LimitRecord) -> float:
        """Cost per unit (J per GPU) as measured; infinite where time or power is not known."""
        if record.time is None or record.power is None:
            return math.inf
        rate_w = self.eta * math.exp(record.power.mean) + (1 - self.eta) * self.max_power_w
        return math.exp(record.time.mean) * rate_w

    def by_stage(self) -> tuple[int, ...] | None:
        """A limit for each stage, where stages tell how long they compute; None: the same for all."""
        state = self.state
        record = state.records[self.top]
        if len(self.settings.gpus) < 2 or not record.busy or any(b is None for b in record.busy):
            return None
        chosen = share_limits(
            self._stage_curves(),
            self.settings.limits_w,
            eta=self.eta,
            max_power_w=self.max_power_w,
            power_budget_w=self.settings.power_budget_w,
            max_unit_s=None
            if self.settings.max_slowdown is None or record.time is None
            else self.settings.max_slowdown * math.exp(record.time.mean),
        )
        return None if chosen is None or set(chosen) == {state.pending} else chosen

    def _stage_curves(self) -> list[StageCurve]:
        ratios, records = self.ratios(), self.state.records
        step = LimitCurve.fit(ratios, {i: r.time for i, r in enumerate(records) if r.time}, "time")
        curves = []
        for s, gpus in enumerate(self.settings.gpus):
            busy = {i: b for i, r in enumerate(records) if r.busy and (b := r.busy[s]) is not None}
            power = {
                i: p for i, r in enumerate(records) if r.stage_power and (p := r.stage_power[s]) is not None
            }
            curves.append(
                StageCurve(
                    gpus=gpus,
                    busy_s=_falling(LimitCurve.fit(ratios, busy, "time").mean),
                    power_w=tuple(math.exp(p) for p in LimitCurve.fit(ratios, power, "power").mean),
                    step_s=_falling(step.mean),
                )
            )
        return curves


def _falling(logs: Sequence[float]) -> tuple[float, ...]:
    """Exp of times over falling limits, made not to fall where noise says a lower limit is faster."""
    values: list[float] = []
    for value in logs:
        values.append(max([math.exp(value), *values[-1:]]))
    return tuple(values)
