"""How many trials run now, so that a sweep ends by its deadline with the least emissions (or price).

A sweep is a number of trial-hours. Each interval until the deadline can take up to ``max_trials`` of them,
at its own carbon intensity. If the future were known, filling the cheapest intervals first would be
optimal, because emissions are linear and any width is equally efficient. It is not known, so the plan is
made again every interval with what has been measured meanwhile (receding horizon, as in model-predictive
control). One rule holds whatever the forecast: *the remaining work can always be done in time by running
at full width from the next plan on*.

How long that takes is bounded by Graham (1966): trials cannot be split, and m at a time, in any order,
take at most work / m + longest · (1 − 1/m).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zeus_ray.carbon.forecasts.forecaster import ForecastUncertainty
from zeus_ray.carbon.planning.interval_filling import TINY, FreeCapacity
from zeus_ray.carbon.planning.price_to_work_now import reservation_price
from zeus_ray.carbon.series import Array, Series
from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import HOUR_S


@dataclass(frozen=True, kw_only=True)
class WidthRules:
    """When the sweep must be done, and how many trials may run at a time.

    Args:
        deadline_s: seconds since 1970, UTC.
        min_trials: at least so many run at any time while there is work.
        max_trials: at most so many run at any time.
        margin_s: the plan ends this long before the deadline.
        replan_every_s: how often the plan is made again.
        switch_cost_h: hours of work that one pause or one resumption loses.

    Raises:
        BadInput: bounds that cannot be kept.
    """

    deadline_s: float
    min_trials: int = 0
    max_trials: int = 8
    margin_s: float = 0.0
    replan_every_s: float = HOUR_S
    switch_cost_h: float = 0.0

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not 0 <= self.min_trials <= self.max_trials or self.max_trials < 1:
            raise BadInput(
                f"min_trials is {self.min_trials} and max_trials {self.max_trials}; "
                "needed: 0 <= min_trials <= max_trials, and max_trials of 1 or more"
            )
        if not (math.isfinite(self.deadline_s) and self.margin_s >= 0 and self.switch_cost_h >= 0):
            raise BadInput(
                f"deadline_s is {self.deadline_s}, margin_s {self.margin_s}, "
                f"switch_cost_h {self.switch_cost_h}; needed: a finite deadline, and the others 0 or more"
            )
        if not self.replan_every_s > 0:
            raise BadInput(f"replan_every_s is {self.replan_every_s}; a positive number is needed")


@dataclass(frozen=True, kw_only=True)
class RemainingWork:
    """What remains of a sweep.

    Attributes:
        work_h: trial-hours.
        trials: unfinished trials, the most that could run at once; None: any number.
        longest_h: the remaining hours of the longest trial; 0: work can be split at will.
        running: how many run now; None: changing the width costs nothing.
        budget: remaining grams over the grams of one trial-hour at intensity 1; inf: no budget.
    """

    work_h: float
    trials: int | None = None
    longest_h: float = 0.0
    running: int | None = None
    budget: float = math.inf


@dataclass(frozen=True)
class WidthSchedule:
    """``now`` trials run now; ``widths[i]`` are planned from ``edges_s[i]`` to ``edges_s[i + 1]``.

    A width that is not whole is an average. ``reason``: "planned", "full width", "budget spent" or "done".
    """

    now: int
    edges_s: Array
    widths: Array
    reason: str


def plan_width(
    rules: WidthRules,
    remaining: RemainingWork,
    expected: Series,
    now_s: float,
    uncertainty: ForecastUncertainty | None = None,
) -> WidthSchedule:
    """How many trials run now, and the plan from now to the deadline.

    Args:
        rules: what the user wants.
        remaining: what is to be done.
        expected: intensity or price, from ``now_s`` or earlier on: measured, then forecast. Where it has no
            value, in gaps or before the deadline, its mean is used; if it has none at all, all intervals
            cost the same and the sweep runs at once.
        now_s: seconds since 1970, UTC.
        uncertainty: of ``expected``; None: it is taken as certain. With it, work waits for hours that turn
            out better than expected, and does not wait for a small gain that may not come.
    """
    most = rules.max_trials if remaining.trials is None else min(rules.max_trials, remaining.trials)
    if remaining.work_h <= TINY or most < 1:
        return WidthSchedule(0, np.array([now_s, now_s]), np.zeros(1), "done")
    required = min(max(rules.min_trials, _required_now(rules, remaining, now_s)), most)
    end_s = max(rules.deadline_s - rules.margin_s, now_s + 1.0)
    capacity = FreeCapacity(*_intervals(expected, now_s, end_s), min(rules.min_trials, most), most)
    work_h = min(remaining.work_h, capacity.affordable_h(remaining.budget))
    if work_h <= TINY:
        return WidthSchedule(0, capacity.edges_s, np.zeros(len(capacity.prices)), "budget spent")
    widths = capacity.fill(work_h)
    if uncertainty is not None:
        widths = _with_optimal_stopping(capacity, work_h, uncertainty, widths)
    now = _width_now(rules, remaining, capacity, widths)
    if work_h == remaining.work_h and now < required:
        now, widths = required, capacity.fill_after(required, work_h)
    full_width = required == most > capacity.min_trials
    return WidthSchedule(now, capacity.edges_s, widths, "full width" if full_width else "planned")


def _required_now(rules: WidthRules, remaining: RemainingWork, now_s: float) -> int:
    """So many that from the next plan on the full width still ends in time."""
    most = rules.max_trials
    at_full_width_h = remaining.work_h / most + remaining.longest_h * (1 - 1 / most)
    spare_h = (rules.deadline_s - rules.margin_s - now_s) / HOUR_S - at_full_width_h
    # By the next plan the spare time has shrunk by the interval, and grown by the work of n trials in it.
    step_h = rules.replan_every_s / HOUR_S
    return math.ceil(most * min(1.0, max(0.0, 1 - spare_h / step_h)) - TINY)


def _with_optimal_stopping(
    capacity: FreeCapacity, work_h: float, uncertainty: ForecastUncertainty, widths: Array
) -> Array:
    """The plan with the first interval's width set by its reservation price: the maximum or the minimum."""
    interval_h, extra = float(np.max(capacity.hours)), capacity.max_trials - capacity.min_trials
    base_h = float(np.minimum(capacity.min_trials * capacity.hours, widths * capacity.hours).sum())
    units = math.ceil((work_h - base_h) / (extra * interval_h) - TINY) if extra else 0
    if not 0 < units < len(capacity.prices):  # there is no choice
        return widths
    persistence = math.exp(-interval_h * HOUR_S / uncertainty.decay_s)
    spread = _spread(uncertainty, capacity)
    limit = reservation_price(capacity.prices[1:], spread[1:], persistence, units)
    run_now = capacity.prices[0] <= limit
    return capacity.fill_after(capacity.max_trials if run_now else capacity.min_trials, work_h)


def _spread(uncertainty: ForecastUncertainty, capacity: FreeCapacity) -> Array:
    """The spread of each interval; 0 where it is unknown."""
    spread = uncertainty.spread
    middles_s = (capacity.edges_s[:-1] + capacity.edges_s[1:]) / 2
    index = np.floor((middles_s - spread.start_s) / spread.step_s).astype(int)
    inside = (index >= 0) & (index < len(spread))
    values = np.zeros(len(index))
    values[inside] = spread.values[index[inside]]
    return np.nan_to_num(values, copy=False)


def _width_now(rules: WidthRules, remaining: RemainingWork, capacity: FreeCapacity, widths: Array) -> int:
    """The plan's first width, or the present one if the change costs more than it saves."""
    planned = math.ceil(float(widths[0]) - TINY)
    if remaining.running is None or not rules.switch_cost_h or planned == remaining.running:
        return planned
    present = min(max(remaining.running, capacity.min_trials), capacity.max_trials)
    work_h = float(widths @ capacity.hours)
    unchanged = capacity.fill_after(present, work_h)
    if unchanged @ capacity.hours < work_h - TINY:  # the work would not all be done
        return planned
    highest_price = float(np.max(capacity.prices[widths > TINY]))
    cost = rules.switch_cost_h * abs(planned - remaining.running) * highest_price
    saving = float((unchanged - widths) * capacity.hours @ capacity.prices)
    return present if saving <= cost else planned


def _intervals(expected: Series, now_s: float, end_s: float) -> tuple[Array, Array]:
    """Edges (s) and prices of the series' intervals from now to the end; the first and last are cut."""
    first = math.floor((now_s - expected.start_s) / expected.step_s + TINY)
    last = math.ceil((end_s - expected.start_s) / expected.step_s - TINY)
    edges_s = expected.start_s + expected.step_s * np.arange(first, last + 1, dtype=np.float64)
    edges_s[0], edges_s[-1] = now_s, end_s
    values = expected.values[max(0, first) : max(0, last)]
    prices = np.full(last - first, np.nan)
    offset = max(0, -first)
    prices[offset : offset + len(values)] = values
    missing = np.isnan(prices)
    if missing.any():
        prices[missing] = 0.0 if missing.all() else prices[~missing].mean()
    return edges_s, prices
