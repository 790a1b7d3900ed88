"""Sweeps of trials on recorded grids: what a policy that decides the width every interval would emit.

Grams are per kW and trial, so trial-hours × g/kWh. Work is either fluid (any number of trial-hours can
run at a time, up to the width) or made of trials that cannot be split.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from zeus_ray.carbon.csv_reader import read_csv
from zeus_ray.carbon.forecasts.baseline_forecasts import DAY_S, LOOK_BACK_S, Forecaster
from zeus_ray.carbon.planning.width_planner import (
    HOUR_S,
    ForecastUncertainty,
    FreeCapacity,
    RemainingWork,
    WidthRules,
    plan_width,
)
from zeus_ray.carbon.series import Series
from zeus_ray.carbon.signal import hold

Policy = Callable[[WidthRules, RemainingWork, float], int]
"""How many trials run now (the third argument, s)."""


@dataclass(frozen=True)
class Grid:
    """One recorded region, gaps filled with the last value: the benchmark's truth."""

    name: str
    truth: Series
    first_s: float
    last_s: float

    @classmethod
    def read(cls, path: Path, *, everything: bool) -> Grid:
        """Judged on the second half of what spans 200 days or more, else on all of it but its first day."""
        raw = read_csv(path)
        truth = Series(raw.start_s, raw.step_s, hold(raw.values))
        long = truth.end_s - truth.start_s >= 200 * DAY_S
        skip_s = DAY_S if not long else 28 * DAY_S if everything else (truth.end_s - truth.start_s) / 2
        first_s = truth.start_s + math.ceil(skip_s / truth.step_s) * truth.step_s
        return cls(path.stem, truth, first_s, truth.end_s)

    @property
    def short(self) -> bool:
        """Whether it is too short to spread starts over it: then one begins every hour."""
        return self.last_s - self.first_s < 30 * DAY_S

    def starts(self, horizon_s: float, every_s: float) -> list[float]:
        """Start times after which a whole horizon is recorded, on the grid's own steps.

        Args:
            horizon_s: how long.
            every_s: between two of them; on a short file an hour.
        """
        every_s = HOUR_S if self.short else every_s
        count = int(max(0.0, self.last_s - horizon_s - self.first_s + 1) / every_s) + 1
        steps = [round(i * every_s / self.truth.step_s) * self.truth.step_s for i in range(count)]
        return [self.first_s + s for s in steps if self.first_s + s + horizon_s <= self.last_s]


# --- what a policy sees ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sight:
    """A signal's past and now, and a forecaster on it; ``lost``: between these times nothing comes in.

    ``doubts``: whether the planner is told how far the forecast may be off.
    """

    truth: Series
    forecaster: Forecaster
    doubts: bool = False
    lost: tuple[float, float] = (math.inf, math.inf)

    def outlook(self, now_s: float, until_s: float) -> tuple[Series, ForecastUncertainty | None]:
        """Four weeks of history and what is expected after it, and how far that may be off."""
        known_s = self.lost[0] if self.lost[0] <= now_s < self.lost[1] else now_s + self.truth.step_s
        past = self.truth.between(known_s - LOOK_BACK_S, known_s)
        horizon_s = until_s - past.end_s + self.truth.step_s
        ahead = self.forecaster.forecast(past, horizon_s)
        whole = Series(past.start_s, past.step_s, np.concatenate([past.values, ahead.values]))
        doubt = self.forecaster.doubt(past, horizon_s) if self.doubts else None  # type: ignore[attr-defined]
        return whole, doubt


@dataclass(frozen=True)
class Provider:
    """A forecast with errors that grow with the square root of the lead, for ``reach_s``; then history's.

    ``noise``: one standard normal number per interval of the truth, correlated between neighbours, so that
    the forecast of an hour gets better as the hour comes. ``mape``: mean absolute error a day ahead.
    """

    truth: Series
    noise: np.ndarray
    rest: Sight
    mape: float = 0.08
    reach_s: float = 2 * DAY_S

    def outlook(self, now_s: float, until_s: float) -> tuple[Series, ForecastUncertainty | None]:
        """The value now, the provider's, then history's."""
        whole, doubt = self.rest.outlook(now_s, until_s)
        if self.rest.lost[0] <= now_s < self.rest.lost[1]:
            return whole, doubt
        first = round((now_s - self.truth.start_s) / self.truth.step_s)
        count = int(min(self.reach_s, self.truth.end_s - now_s, until_s - now_s) / self.truth.step_s)
        lead_s = self.truth.step_s * np.arange(count)
        # E|x| of a normal number is σ · √(2/π).
        wide = self.mape / math.sqrt(2 / math.pi) * np.sqrt(lead_s / DAY_S)
        values = whole.values.copy()
        at = round((now_s - whole.start_s) / whole.step_s)
        values[at : at + count] = self.truth.values[first : first + count] * np.maximum(
            0.0, 1 + wide * self.noise[first : first + count]
        )
        return Series(whole.start_s, whole.step_s, values), None


def correlated_noise(count: int, step_s: float, seed: int, *, over_s: float = 10 * HOUR_S) -> np.ndarray:
    """Standard normal numbers whose correlation falls to 1/e over ``over_s``."""
    rng, rho = np.random.default_rng(seed), math.exp(-step_s / over_s)
    steps, out = rng.normal(size=count), np.empty(count)
    out[0] = steps[0]
    for i in range(1, count):
        out[i] = rho * out[i - 1] + math.sqrt(1 - rho * rho) * steps[i]
    return out


# --- policies ----------------------------------------------------------------------------------------


class View(Protocol):
    """What a policy sees: the past, what is expected after it, and how far that may be off."""

    def outlook(self, now_s: float, until_s: float) -> tuple[Series, ForecastUncertainty | None]:
        """From four weeks before ``now_s`` to ``until_s`` or later (s)."""


def elastic(sight: View) -> Policy:
    """Ours."""

    def width(rules: WidthRules, left: RemainingWork, now_s: float) -> int:
        outlook, doubt = sight.outlook(now_s, rules.deadline_s)
        return plan_width(rules, left, outlook, now_s, doubt).now

    return width


def threshold(truth: Series, quantile: float) -> Policy:
    """Run flat out while intensity is below a quantile of the last week; kept in time by our own rule."""

    def width(rules: WidthRules, left: RemainingWork, now_s: float) -> int:
        week = truth.between(now_s - 7 * DAY_S, now_s + truth.step_s).values
        nothing = Series(now_s, rules.look_every_s, np.where(np.arange(2) < 1, 1.0, 0.0))
        must = plan_width(rules, left, nothing, now_s).now
        return rules.max_trials if truth.at(now_s) <= np.quantile(week, quantile) else must

    return width


def at_once(rules: WidthRules, _left: RemainingWork, _now_s: float) -> int:
    """Today's practice."""
    return rules.max_trials


# --- running -----------------------------------------------------------------------------------------


def run_fluid(
    truth: Series, start_s: float, work_h: float, rules: WidthRules, policy: Policy
) -> tuple[float, float]:
    """Grams per kW, and when the sweep ended (s)."""
    now_s, left_h, grams, step_h = start_s, work_h, 0.0, truth.step_s / HOUR_S
    while left_h > 1e-9:
        width = policy(rules, RemainingWork(work_h=left_h), now_s)
        done_h = min(width * step_h, left_h)
        grams += done_h * truth.at(now_s)
        left_h -= done_h
        now_s += truth.step_s if left_h > 1e-9 or not width else done_h / width * HOUR_S
    return grams, now_s


def oracle(truth: Series, start_s: float, work_h: float, rules: WidthRules) -> float:
    """Grams per kW of the cheapest hours, all known beforehand: nothing can be better."""
    known = truth.between(start_s, rules.deadline_s)
    edges_s = start_s + truth.step_s * np.arange(len(known) + 1)
    edges_s[-1] = min(edges_s[-1], rules.deadline_s)
    room = FreeCapacity(edges_s, known.values, 0, rules.max_trials)
    return float(room.fill(work_h) * room.hours @ known.values)


def run_trials(
    start_s: float, trials_h: Sequence[float], may_pause: Sequence[bool], rules: WidthRules, policy: Policy
) -> float:
    """When the last of trials that cannot be split ended (s); those that may not pause run on once begun."""
    now_s, left_h, begun = start_s, dict(enumerate(trials_h)), set()
    while left_h:
        left = RemainingWork(work_h=sum(left_h.values()), trials=len(left_h), longest_h=max(left_h.values()))
        width = policy(rules, left, now_s)
        pinned = [i for i in left_h if i in begun and not may_pause[i]]
        waiting = sorted((i for i in left_h if i not in pinned), key=lambda i: -left_h[i])
        running = [*pinned, *waiting[: max(0, width - len(pinned))]]
        begun.update(running)
        ends = [left_h[i] for i in running if left_h[i] * HOUR_S < rules.look_every_s]
        step_s = min([rules.look_every_s, *(h * HOUR_S for h in ends)])  # a free place is filled at once
        for i in running:
            left_h[i] -= step_s / HOUR_S
            if left_h[i] <= 1e-9:
                del left_h[i]
        now_s += step_s
    return now_s
