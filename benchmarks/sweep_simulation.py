"""Simulated sweeps on recorded grids: the emissions under a policy that sets the width every interval.

Grams are per kW and trial: trial-hours × g/kWh. Work is either fluid (any number of trial-hours can run at a
time, up to the width) or made of trials that cannot be split.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from zeus_ray.carbon.csv_reader import read_csv
from zeus_ray.carbon.forecasts.forecaster import HISTORY_S, Forecaster, ForecastUncertainty
from zeus_ray.carbon.planning.interval_filling import FreeCapacity
from zeus_ray.carbon.planning.width_planner import RemainingWork, WidthRules, plan_width
from zeus_ray.carbon.series import Series
from zeus_ray.quantity_format import DAY_S, HOUR_S

Policy = Callable[[WidthRules, RemainingWork, float], int]
"""How many trials run now (the third argument, s)."""


@dataclass(frozen=True)
class Grid:
    """The recording of one region, gaps filled with the last value."""

    name: str
    truth: Series
    first_s: float
    last_s: float

    @classmethod
    def read(cls, path: Path, *, everything: bool) -> Grid:
        """Judged on the second half of a file of 200 days or more, else on all but its first day."""
        truth = read_csv(path).without_gaps()
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
            horizon_s: length of the horizon.
            every_s: time between two starts; on a short file an hour.
        """
        every_s = HOUR_S if self.short else every_s
        count = int(max(0.0, self.last_s - horizon_s - self.first_s + 1) / every_s) + 1
        steps = [round(i * every_s / self.truth.step_s) * self.truth.step_s for i in range(count)]
        return [self.first_s + s for s in steps if self.first_s + s + horizon_s <= self.last_s]


# --- forecasts that a policy gets --------------------------------------------------------------------


class View(Protocol):
    """What a policy knows: the past, the expected values after it, and their uncertainty."""

    def forecast(self, now_s: float, until_s: float) -> tuple[Series, ForecastUncertainty | None]:
        """From four weeks before ``now_s`` to ``until_s`` or later (s)."""


@dataclass(frozen=True)
class HistoryView:
    """A forecaster on four weeks of history.

    Args:
        truth: the recording.
        forecaster: the forecast from history.
        uncertain: whether the planner gets the forecast's uncertainty.
        lost: between these times (s) no new value arrives.
    """

    truth: Series
    forecaster: Forecaster
    uncertain: bool = False
    lost: tuple[float, float] = (math.inf, math.inf)

    def forecast(self, now_s: float, until_s: float) -> tuple[Series, ForecastUncertainty | None]:
        """See :class:`View`."""
        known_s = self.lost[0] if self.lost[0] <= now_s < self.lost[1] else now_s + self.truth.step_s
        past = self.truth.between(known_s - HISTORY_S, known_s)
        horizon_s = until_s - past.end_s + self.truth.step_s
        future = self.forecaster.forecast(past, horizon_s)
        whole = Series(past.start_s, past.step_s, np.concatenate([past.values, future.values]))
        return whole, self.forecaster.uncertainty(past, horizon_s) if self.uncertain else None  # type: ignore[attr-defined]


@dataclass(frozen=True)
class ProviderView:
    """A synthetic provider's forecast for ``reach_s``, then that of ``history``.

    Its errors grow with the square root of the lead.

    Args:
        truth: the recording.
        noise: a standard normal number per interval of the truth, correlated between neighbours, so that
            the forecast of an hour improves as the hour comes.
        history: the forecast beyond, and while the signal is lost.
        mape: mean absolute error a day ahead, as a share of the truth.
        reach_s: how far ahead the provider forecasts.
    """

    truth: Series
    noise: np.ndarray
    history: HistoryView
    mape: float = 0.08
    reach_s: float = 2 * DAY_S

    def forecast(self, now_s: float, until_s: float) -> tuple[Series, ForecastUncertainty | None]:
        """See :class:`View`."""
        whole, uncertainty = self.history.forecast(now_s, until_s)
        if self.history.lost[0] <= now_s < self.history.lost[1]:
            return whole, uncertainty
        first = round((now_s - self.truth.start_s) / self.truth.step_s)
        count = int(min(self.reach_s, self.truth.end_s - now_s, until_s - now_s) / self.truth.step_s)
        lead_s = self.truth.step_s * np.arange(count)
        # E|x| of a normal number is σ · √(2/π).
        deviation = self.mape / math.sqrt(2 / math.pi) * np.sqrt(lead_s / DAY_S)
        values = whole.values.copy()
        at = round((now_s - whole.start_s) / whole.step_s)
        values[at : at + count] = self.truth.values[first : first + count] * np.maximum(
            0.0, 1 + deviation * self.noise[first : first + count]
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


def planned(view: View) -> Policy:
    """The width planner of zeus-ray."""

    def width(rules: WidthRules, remaining: RemainingWork, now_s: float) -> int:
        expected, uncertainty = view.forecast(now_s, rules.deadline_s)
        return plan_width(rules, remaining, expected, now_s, uncertainty).now

    return width


def threshold(truth: Series, quantile: float) -> Policy:
    """Full width below a quantile of the last week's intensity; the planner's rule keeps the deadline."""

    def width(rules: WidthRules, remaining: RemainingWork, now_s: float) -> int:
        week = truth.between(now_s - 7 * DAY_S, now_s + truth.step_s).values
        cheaper_later = Series(now_s, rules.replan_every_s, np.array([1.0, 0.0]))
        required = plan_width(rules, remaining, cheaper_later, now_s).now
        return rules.max_trials if truth.at(now_s) <= np.quantile(week, quantile) else required

    return width


def at_once(rules: WidthRules, _remaining: RemainingWork, _now_s: float) -> int:
    """Full width from the start: what is done without a planner."""
    return rules.max_trials


# --- simulation --------------------------------------------------------------------------------------


def run_fluid(
    truth: Series, start_s: float, work_h: float, rules: WidthRules, policy: Policy
) -> tuple[float, float]:
    """Grams per kW, and when the sweep ended (s)."""
    now_s, remaining_h, grams, step_h = start_s, work_h, 0.0, truth.step_s / HOUR_S
    while remaining_h > 1e-9:
        width = policy(rules, RemainingWork(work_h=remaining_h), now_s)
        done_h = min(width * step_h, remaining_h)
        grams += done_h * truth.at(now_s)
        remaining_h -= done_h
        now_s += truth.step_s if remaining_h > 1e-9 or not width else done_h / width * HOUR_S
    return grams, now_s


def oracle(truth: Series, start_s: float, work_h: float, rules: WidthRules) -> float:
    """Grams per kW of the cheapest hours, with the future known: the optimum."""
    future = truth.between(start_s, rules.deadline_s)
    edges_s = start_s + truth.step_s * np.arange(len(future) + 1)
    edges_s[-1] = min(edges_s[-1], rules.deadline_s)
    capacity = FreeCapacity(edges_s, future.values, 0, rules.max_trials)
    return float(capacity.fill(work_h) * capacity.hours @ future.values)


def run_trials(
    start_s: float, trials_h: Sequence[float], may_pause: Sequence[bool], rules: WidthRules, policy: Policy
) -> float:
    """When the last of several trials ended (s).

    Trials cannot be split, and those that may not pause run on once they have started.
    """
    now_s, remaining_h, started = start_s, dict(enumerate(trials_h)), set()
    while remaining_h:
        hours = remaining_h.values()
        remaining = RemainingWork(work_h=sum(hours), trials=len(hours), longest_h=max(hours))
        width = policy(rules, remaining, now_s)
        pinned = [i for i in remaining_h if i in started and not may_pause[i]]
        waiting = sorted((i for i in remaining_h if i not in pinned), key=lambda i: -remaining_h[i])
        running = [*pinned, *waiting[: max(0, width - len(pinned))]]
        started.update(running)
        ending_h = [remaining_h[i] for i in running if remaining_h[i] * HOUR_S < rules.replan_every_s]
        step_s = min([rules.replan_every_s, *(h * HOUR_S for h in ending_h)])  # the next trial starts at once
        for i in running:
            remaining_h[i] -= step_s / HOUR_S
            if remaining_h[i] <= 1e-9:
                del remaining_h[i]
        now_s += step_s
    return now_s
