"""Which limit to hold and which to measure next, from what is known so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from zeus_ray.objective import eta_at, max_power_or_fallback_w
from zeus_ray.training.online_limit.controller_settings_and_state import (
    ControllerState,
    LimitRecord,
    OnlineSettings,
)
from zeus_ray.training.online_limit.limit_curves_and_knowledge_gradient import (
    LimitCurve,
    best_index,
    cost_curve,
    improvement,
)
from zeus_ray.training.online_limit.merge_rank_windows import GroupWindow
from zeus_ray.training.online_limit.pipeline_stage_limits import share_limits, stage_curves
from zeus_ray.training.online_limit.slowdown_budget import HullEdge, SlowdownBudget, hull_edge

SURPRISE_SDS = 3.5
BRACKET_GAIN = 0.01
"""A limit below all measured ones is measured where cost could fall by more than this (ln)."""
DISTURBED, SECOND_LOOK_S = 0.05, 120.0
"""One window in twenty is taken for disturbed; whatever did it has passed after so long."""
TOP_SD = 0.004
"""With ``max_slowdown``, the highest limit is measured again until its time is known this well (ln)."""
CHECK_EVERY, CHECK_EVERY_S = 0.25, 1200.0
"""The limits next to the one held are measured again after this share of the run, at least these seconds."""


class Curves(NamedTuple):
    """Posterior over the limits of time per unit, of cost, and of cost with the price of ``max_slowdown``."""

    time: LimitCurve
    cost: LimitCurve
    priced: LimitCurve


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
        """The weight of energy at the present price; none where no slow-down is allowed at all."""
        if self.settings.max_slowdown == 1:
            return 0.0
        return eta_at(self.settings.weight, self.state.price)

    def ratios(self) -> list[float]:
        """Each limit over the uncapped power per GPU, as far as that is known."""
        record = self.state.records[self.top]
        uncapped_w = math.exp(record.power.mean) if record.power else 0.8 * self.settings.limits_w[0]
        return [w / uncapped_w for w in self.settings.limits_w]

    def _doubt_slow(self) -> list[int]:
        """A limit measured slower than a lower one was probably disturbed: once, it counts for little.

        Returns:
            The limits that this holds for now, and did not before.
        """
        records = self.state.records
        doubted: list[int] = []
        bounded = self.settings.max_slowdown is not None
        for i, higher in enumerate(records):
            for lower in records[i + 1 :]:
                if higher.time is None or lower.time is None or higher.doubted:
                    continue
                excess = higher.time.mean - lower.time.mean
                sds = 2 if bounded and i == self.top else 4
                if excess > max(0.02, sds * math.sqrt(higher.time.var + lower.time.var)):
                    higher.doubted = True
                    higher.time.var += excess**2
                    doubted.append(i)
        return doubted

    def curves(self, *, without: int = -1) -> Curves:
        """What is known of all limits; ``without``: a limit whose own windows do not count."""
        ratios, records = self.ratios(), self.state.records
        times = {i: r.time for i, r in enumerate(records) if r.time is not None and i != without}
        powers = {i: r.power for i, r in enumerate(records) if r.power is not None and i != without}
        time = LimitCurve.fit(ratios, times, "time")
        power = LimitCurve.fit(ratios, powers, "power")
        cost = cost_curve(time, power, self.eta, self.max_power_w)
        price = self._edge(time, cost, self.usable).price
        priced = cost_curve(time, power, self.eta, self.max_power_w, price) if price else cost
        return Curves(time, cost, priced)

    @property
    def budget(self) -> SlowdownBudget | None:
        """The time that ``max_slowdown`` leaves; None without that bound."""
        if self.settings.max_slowdown is None:
            return None
        work_s, extra_s = self.work()
        return SlowdownBudget(self.settings.max_slowdown, work_s, extra_s, self.work_sd_s(work_s))

    def work_sd_s(self, work_s: float) -> float:
        """Standard deviation (s) of ``work_s``, the work so far; loads may all have been disturbed alike."""
        return self.state.closed_sd_s + self._top_sd() * (work_s - self.state.closed_work_s)

    def _top_sd(self) -> float:
        time = self.state.records[self.top].time
        return 0.0 if time is None else math.sqrt(time.var)

    def _edge(self, time: LimitCurve, cost: LimitCurve, among: Sequence[int]) -> HullEdge:
        """The limits of ``among`` that together are as slow as is allowed; without a bound the cheapest."""
        times, costs = list(map(math.exp, time.mean)), list(map(math.exp, cost.mean))
        most = math.inf if self.budget is None else self.budget.allowed * times[self.top]
        return hull_edge(times, costs, among, most)

    def _known(self) -> list[int]:
        return [k for k in self.usable if self.state.records[k].time is not None] or [self.top]

    def best(self) -> int:
        """The measured limit to hold: the cheapest, or, with ``max_slowdown``, what its budget allows now."""
        curves, known = self.curves(), self._known()
        if self.budget is None:
            return best_index(curves.cost, known)
        edge = self._edge(curves.time, curves.cost, known)
        slow_down = math.exp(curves.time.mean[edge.slow] - curves.time.mean[self.top])
        return self.budget.hold(edge, slow_down, self.state.pending, self.record_s)

    @property
    def record_s(self) -> float:
        """Seconds of one record of a settled run: 0.2 % of the run so far, from 5 to 30 s."""
        return min(30.0, max(5.0, 0.002 * self.state.elapsed_s))

    def _in_turn(self, curves: Curves) -> set[int]:
        """The two limits that are held in turn, and so measured all the time; empty where it is one."""
        edge = self._edge(curves.time, curves.cost, self._known())
        return {edge.fast, edge.slow} if edge.fast != edge.slow else set()

    def next_probe(self, least_gain: float) -> int | None:
        """The limit whose window is expected to lower the cost most; None if by less than ``least_gain``."""
        doubted = self._doubt_slow()
        if self.top in doubted and self.settings.max_slowdown is not None:
            return self.top  # all are compared with it
        curves, known = self.curves(), self._known()
        best = best_index(curves.priced, known)
        in_turn, affordable = self._in_turn(curves), self._affordable(curves.time)
        others = [k for k in affordable if k not in in_turn]
        gains = {k: improvement(curves.priced, k, best, self.usable, self.state.noise_var) for k in others}
        k = max(gains, key=lambda i: (gains[i], -i), default=best)
        if gains.get(k, 0.0) > least_gain:
            return k
        lower = self._beyond_lowest(curves.priced, best)
        return lower if lower in affordable else None

    def _affordable(self, time: LimitCurve) -> list[int]:
        """The limits at which a window leaves the run within ``max_slowdown``."""
        budget, window_s = self.budget, self.settings.window_s + self.settings.settle_s
        if budget is None:
            return self.usable
        slow_downs = {k: math.exp(time.mean[k] - time.mean[self.top]) for k in self.usable}
        return [k for k in self.usable if k == self.top or budget.affords(window_s, slow_downs[k])]

    def _beyond_lowest(self, cost: LimitCurve, best: int) -> int | None:
        """The next limit below the best, where that is the lowest measured one and cost still falls there.

        The curves know the usual shape only; a load that hardly slows down has its best limit far below. Cost
        is convex over ln(limit), so that the line through the two lowest measured limits is a lower bound.
        """
        known, below = self._known(), [k for k in self.usable if k > best]
        if not below or len(known) < 2 or best != known[-1]:
            return None
        x, here, above = [math.log(w) for w in self.settings.limits_w], known[-1], known[-2]
        falls = (cost.mean[above] - cost.mean[here]) / (x[above] - x[here])
        return below[0] if falls * (x[here] - x[below[0]]) > BRACKET_GAIN else None

    def second_look(self, least_gain: float) -> int | None:
        """A limit that might be the best but for its only window, which a straggler may have slowed."""
        if self.budget is not None and self.budget.left_s <= 0:
            return None
        state, curves = self.state, self.curves()
        held = {self.top, state.pending, *self._in_turn(curves)}
        gains = {}
        for k in set(self._known()) - held:
            record = state.records[k]
            if record.looks < 2 and state.elapsed_s - record.seen_s > SECOND_LOOK_S:
                unseen = self.curves(without=k).priced
                gains[k] = DISTURBED * (curves.priced.mean[state.pending] - unseen.mean[k])
        k = max(gains, key=lambda i: (gains[i], -i), default=state.pending)
        return k if gains.get(k, 0.0) > least_gain else None

    def neighbour_to_check(self) -> int | None:
        """A limit next to the one held that was measured long ago, perhaps while something disturbed it.

        With ``max_slowdown`` first the highest one, until it is known well: all are compared with it.
        """
        state = self.state
        old_s = max(CHECK_EVERY_S, CHECK_EVERY * state.elapsed_s)
        at = self.usable.index(state.pending)
        if self.settings.max_slowdown is not None and self._top_sd() > TOP_SD:
            return self.top
        near = []
        for apart in (1, 2):
            near += [(apart, k) for k in self.usable[max(0, at - apart) : at][:1]]
            near += [(apart, k) for k in self.usable[at + apart : at + apart + 1]]
        for apart, k in near:
            record = state.records[k]
            if record.time is not None and state.elapsed_s - record.seen_s > apart**2 * old_s:
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
            stage_curves(self.ratios(), state.records, self.settings.gpus),
            self.settings.limits_w,
            eta=self.eta,
            max_power_w=self.max_power_w,
            power_budget_w=self.settings.power_budget_w,
            max_unit_s=None
            if self.budget is None or record.time is None
            else self.budget.allowed * math.exp(record.time.mean),
        )
        return None if chosen is None or set(chosen) == {state.pending} else chosen
