"""How many trials run now, so that a sweep ends by its deadline at the least carbon (or money).

The sweep is trial-hours of work; each interval until the deadline can take up to ``max_trials`` of
them at its own intensity. If the future were known, the cheapest intervals would be filled first, and
no plan could be better: cost is linear and any width is as efficient as any other. It is not known,
so the plan is made again every interval, with what has been learnt meanwhile (the receding horizon of
model-predictive control), and one rule stands above every forecast: *what is left is always little
enough to be done by running flat out from the next look on*.

How long flat out takes is bounded by Graham (1966): trials cannot be split, and m at a time, in any
order, take at most work / m + longest · (1 − 1/m).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zeus_ray.carbon.planning.optimal_stopping import reservation_price
from zeus_ray.carbon.series import Array, Series
from zeus_ray.errors import BadInput

HOUR_S = 3600.0
TINY = 1e-9


@dataclass(frozen=True, kw_only=True)
class WidthRules:
    """What the user wants: the sweep done by ``deadline_s``, with this many trials at a time.

    Args:
        deadline_s: seconds since 1970, UTC.
        min_trials: so many run at any time while there is work.
        max_trials: never more than that.
        margin_s: be done this much earlier, for what nobody planned.
        look_every_s: how often the plan is made again.
        switch_h: hours of work that one pause or one resumption loses.

    Raises:
        BadInput: bounds that cannot be kept.
    """

    deadline_s: float
    min_trials: int = 0
    max_trials: int = 8
    margin_s: float = 0.0
    look_every_s: float = HOUR_S
    switch_h: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no plan can keep."""
        if not 0 <= self.min_trials <= self.max_trials or self.max_trials < 1:
            raise BadInput(
                f"min_trials is {self.min_trials} and max_trials {self.max_trials}; "
                "needed: 0 <= min_trials <= max_trials, and max_trials of 1 or more"
            )
        if not (math.isfinite(self.deadline_s) and self.margin_s >= 0 and self.switch_h >= 0):
            raise BadInput(
                f"deadline_s is {self.deadline_s}, margin_s {self.margin_s}, switch_h {self.switch_h}; "
                "needed: a finite deadline, and the others 0 or more"
            )
        if not self.look_every_s > 0:
            raise BadInput(f"look_every_s is {self.look_every_s}; a positive number is needed")


@dataclass(frozen=True, kw_only=True)
class RemainingWork:
    """What is left of a sweep.

    ``work_h``: trial-hours. ``trials``: unfinished ones, the most that could run at once (None: any
    number). ``longest_h``: what the longest of them still takes (0: work can be split at will).
    ``running``: how many run now (None: changing the width is free). ``affordable``: grams that may
    still be spent, over grams of one trial-hour at intensity 1 (inf: no budget).
    """

    work_h: float
    trials: int | None = None
    longest_h: float = 0.0
    running: int | None = None
    affordable: float = math.inf


@dataclass(frozen=True)
class ForecastUncertainty:
    """How far the outlook may be off: in the long run, and how slowly an error fades.

    ``spread``: standard deviation on the outlook's axis (per kWh); ``fades_s``: after this long 1/e of
    an error is left.
    """

    spread: Series
    fades_s: float


@dataclass(frozen=True)
class Schedule:
    """A plan: ``widths[i]`` trials from ``edges_s[i]`` to ``edges_s[i + 1]``; ``now``: run so many.

    A width that is not whole means: that many on average. ``why``: "planned", "flat out",
    "budget spent" or "done".
    """

    now: int
    edges_s: Array
    widths: Array
    why: str


ENDS = 200
"""Where trials always run, so many ends of the work are compared at most."""


@dataclass(frozen=True)
class FreeCapacity:
    """The intervals until the deadline: what each costs, how long it is, how many trials it takes."""

    edges_s: Array
    prices: Array
    least: int
    most: int

    @property
    def hours(self) -> Array:
        """Length of each interval."""
        return np.diff(self.edges_s) / HOUR_S

    def fill(self, work_h: float) -> Array:
        """The cheapest way to do ``work_h``: the width of each interval.

        ``least`` runs from the first interval on until the work is done, so that where it is above 0 it
        may pay to be done early. What does not fit is left out.
        """
        count = len(self.prices)
        if self.least == 0:
            return self._fill_until(count, work_h)  # there is no need to end early
        ends = {*np.linspace(1, count, min(count, ENDS)).astype(int)}
        most_h = self.most * np.cumsum(self.hours)
        fits = [end for end in sorted(ends) if most_h[end - 1] >= work_h - TINY] or [count]
        plans = [self._fill_until(end, work_h) for end in fits]
        return min(plans, key=lambda widths: float(widths * self.hours @ self.prices))

    def _fill_until(self, end: int, work_h: float) -> Array:
        """That before interval ``end``: the least, and the rest in the cheapest, of equals the earliest."""
        hours = self.hours
        base_h = np.clip(work_h - self.least * (np.cumsum(hours) - hours), 0.0, self.least * hours)
        base_h[end - 1 :] = 0.0  # in the last of them the work ends, whenever
        room_h = (self.most - self.least * (base_h > 0)) * hours
        room_h[end:] = 0.0
        order = np.argsort(self.prices, kind="stable")
        before_h = np.cumsum(room_h[order]) - room_h[order]
        more_h = np.empty_like(room_h)
        more_h[order] = np.clip(work_h - base_h.sum() - before_h, 0.0, room_h[order])
        return np.asarray((base_h + more_h) / hours, dtype=np.float64)

    def fill_after(self, first: int, work_h: float) -> Array:
        """The cheapest way where the width of the first interval is given."""
        first_h = float(self.hours[0])
        done_h = min(first * first_h, work_h)
        rest = FreeCapacity(self.edges_s[1:], self.prices[1:], self.least, self.most)
        return np.concatenate([[done_h / first_h], rest.fill(work_h - done_h)])

    def affordable_h(self, budget: float) -> float:
        """Trial-hours that a budget (price × trial-hours) buys, cheapest first."""
        if budget == math.inf:
            return math.inf
        order = np.argsort(self.prices, kind="stable")
        room_h, price = self.most * self.hours[order], np.maximum(self.prices[order], TINY)
        left = np.maximum(budget - (np.cumsum(room_h * price) - room_h * price), 0.0)
        return float(np.minimum(room_h, left / price).sum())


def plan_width(
    rules: WidthRules,
    left: RemainingWork,
    outlook: Series,
    now_s: float,
    doubt: ForecastUncertainty | None = None,
) -> Schedule:
    """How many trials run now, and what is planned from here to the deadline.

    Args:
        rules: what the user wants.
        left: what there is to do.
        outlook: intensity or price, from ``now_s`` or earlier on: measured, then forecast. What it lacks
            (gaps, or an end before the deadline) is taken as its mean; an outlook of nothing
            makes all intervals alike, and then the sweep runs at once.
        now_s: seconds since 1970, UTC.
        doubt: how far the outlook may be off; None: it is taken at its word. Doubt makes it worth
            waiting for hours better than expected, and not worth waiting for what may not come.
    """
    most = rules.max_trials if left.trials is None else min(rules.max_trials, left.trials)
    if left.work_h <= TINY or most < 1:
        return Schedule(0, np.array([now_s, now_s]), np.zeros(1), "done")
    must = min(max(rules.min_trials, _must_run(rules, left, now_s)), most)
    end_s = max(rules.deadline_s - rules.margin_s, now_s + 1.0)
    room = FreeCapacity(*_intervals(outlook, now_s, end_s), min(rules.min_trials, most), most)
    work_h = min(left.work_h, room.affordable_h(left.affordable))
    if work_h <= TINY:
        return Schedule(0, room.edges_s, np.zeros(len(room.prices)), "budget spent")
    widths = room.fill(work_h)
    if doubt is not None:
        widths = _doubted(room, work_h, _spread(doubt, room), doubt.fades_s, widths)
    now = _width_now(rules, left, room, widths)
    if work_h == left.work_h and now < must:
        now, widths = must, room.fill_after(must, work_h)
    return Schedule(now, room.edges_s, widths, "flat out" if must == most > room.least else "planned")


def _doubted(room: FreeCapacity, work_h: float, spread: Array, fades_s: float, widths: Array) -> Array:
    """The plan with its first interval decided by what waiting is worth: everything, or nothing."""
    whole_h = float(np.max(room.hours))
    above_h = work_h - float(np.minimum(room.least * room.hours, widths * room.hours).sum())
    units = math.ceil(above_h / ((room.most - room.least) * whole_h) - TINY) if room.most > room.least else 0
    if not 0 < units < len(room.prices):  # there is nothing to choose
        return widths
    keep = math.exp(-whole_h * HOUR_S / fades_s)
    worth = reservation_price(room.prices[1:], spread[1:], keep, units)
    first = room.most if room.prices[0] <= worth else room.least
    return room.fill_after(first, work_h)


def _spread(doubt: ForecastUncertainty, room: FreeCapacity) -> Array:
    """The doubt of each interval; none where it says nothing."""
    middle_s = (room.edges_s[:-1] + room.edges_s[1:]) / 2
    index = np.floor((middle_s - doubt.spread.start_s) / doubt.spread.step_s).astype(int)
    known = (index >= 0) & (index < len(doubt.spread))
    values = np.zeros(len(index))
    values[known] = doubt.spread.values[index[known]]
    return np.nan_to_num(values, copy=False)


def _must_run(rules: WidthRules, left: RemainingWork, now_s: float) -> int:
    """So many that at the next look running flat out still ends in time."""
    most = rules.max_trials
    flat_out_h = left.work_h / most + left.longest_h * (1 - 1 / most)
    spare_h = (rules.deadline_s - rules.margin_s - now_s) / HOUR_S - flat_out_h
    # One look later the spare time has shrunk by the interval, and grown by what n trials did in it.
    step_h = rules.look_every_s / HOUR_S
    return math.ceil(most * min(1.0, max(0.0, 1 - spare_h / step_h)) - TINY)


def _width_now(rules: WidthRules, left: RemainingWork, room: FreeCapacity, widths: Array) -> int:
    """The plan's first width, or the present one where the change would lose more than it gains."""
    planned = math.ceil(float(widths[0]) - TINY)
    if left.running is None or not rules.switch_h or planned == left.running:
        return planned
    keep = min(max(left.running, room.least), room.most)
    work_h = float(widths @ room.hours)
    staying = room.fill_after(keep, work_h)
    if staying @ room.hours < work_h - TINY:  # it would not all be done any more
        return planned
    dearest = float(np.max(room.prices[widths > TINY]))
    lost = rules.switch_h * abs(planned - left.running) * dearest
    gained = float((staying - widths) * room.hours @ room.prices)
    return keep if gained <= lost else planned


def _intervals(outlook: Series, now_s: float, end_s: float) -> tuple[Array, Array]:
    """Edges (s) and prices of the outlook's intervals from now to the end; the first and last are cut."""
    first = math.floor((now_s - outlook.start_s) / outlook.step_s + TINY)
    last = math.ceil((end_s - outlook.start_s) / outlook.step_s - TINY)
    edges_s = outlook.start_s + outlook.step_s * np.arange(first, last + 1, dtype=np.float64)
    edges_s[0], edges_s[-1] = now_s, end_s
    known = outlook.values[max(0, first) : max(0, last)]
    prices = np.full(last - first, np.nan)
    offset = max(0, -first)
    prices[offset : offset + len(known)] = known
    missing = np.isnan(prices)
    if missing.any():
        prices[missing] = 0.0 if missing.all() else prices[~missing].mean()
    return edges_s, prices
