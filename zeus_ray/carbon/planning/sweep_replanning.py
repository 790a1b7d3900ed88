"""A sweep's width over time: planned from the state of its trials, and planned again as they run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zeus_ray.carbon.forecasts.provider_forecast_or_from_history import forecast_signal, forecast_uncertainty
from zeus_ray.carbon.planning.trial_durations import TrialHours
from zeus_ray.carbon.planning.width_planner import WidthRules, WidthSchedule, plan_width
from zeus_ray.carbon.series import Signal
from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import HOUR_S, J_PER_KWH


@dataclass(frozen=True, kw_only=True)
class SweepState:
    """The trials of a sweep now.

    Attributes:
        active: ids of the trials that run, also of those that are about to pause.
        running: how many run and go on.
        unfinished: ids of the trials that have been created and have not ended.
        ended: ids of the trials that have ended without an error.
        to_come: how many trials have not been created.
        emitted_g: grams of all trials.
        power_w: mean power of one trial (W); 0 if it is unknown.
    """

    active: frozenset[str]
    running: int
    unfinished: tuple[str, ...]
    ended: tuple[str, ...]
    to_come: int
    emitted_g: float = 0.0
    power_w: float = 0.0


@dataclass(frozen=True)
class PlanningStep:
    """One plan: the time on the grid (s), the signal's value, and numbers of trials."""

    at_s: float
    value: float
    planned: int
    running: int
    paused: int


class SweepPlanner:
    """Plans how many trials run now. ``steps`` and ``schedules`` are its plans so far, oldest first.

    Until it is known how long a trial takes, the plan is the maximum width.

    Args:
        rules: deadline and bounds.
        hours_per_trial: how long one trial takes at most; None: unknown until one has ended.
        budget_g: grams that the sweep may emit; None: no budget.

    Raises:
        BadInput: hours or budget are not positive.
    """

    def __init__(
        self, rules: WidthRules, *, hours_per_trial: float | None = None, budget_g: float | None = None
    ) -> None:
        if budget_g is not None and not budget_g > 0:
            raise BadInput(f"budget_g is {budget_g}; a positive number is needed, or None")
        if hours_per_trial is not None and not 0 < hours_per_trial < math.inf:
            raise BadInput(f"hours_per_trial is {hours_per_trial}; a positive number is needed, or None")
        self.rules = rules
        self.hours = TrialHours(hours_per_trial)
        self.steps: list[PlanningStep] = []
        self.schedules: list[WidthSchedule] = []
        self._budget_g = budget_g
        self._next_plan_s = -math.inf
        self._unfinished = -1

    def plan(self, signal: Signal, now_s: float, state: SweepState) -> WidthSchedule:
        """The schedule: a new one every ``replan_every_s``, and when a trial was created or has ended."""
        self.hours.observe(now_s, state.active, state.ended)
        if now_s < self._next_plan_s and len(state.unfinished) == self._unfinished:
            return self.schedules[-1]
        self._next_plan_s, self._unfinished = now_s + self.rules.replan_every_s, len(state.unfinished)
        schedule = self._schedule(signal, now_s, state)
        paused = len(state.unfinished) - state.running
        self.schedules.append(schedule)
        self.steps.append(PlanningStep(now_s, signal.at(now_s), schedule.now, state.running, paused))
        return schedule

    def _schedule(self, signal: Signal, now_s: float, state: SweepState) -> WidthSchedule:
        remaining = self.hours.remaining(state.unfinished, state.to_come, self._remaining_budget(state))
        if remaining is None:
            most = self.rules.max_trials
            return WidthSchedule(
                most, np.array([now_s, self.rules.deadline_s]), np.full(1, float(most)), "duration unknown"
            )
        horizon_s = max(HOUR_S, self.rules.deadline_s - now_s)
        expected = forecast_signal(signal, now_s, horizon_s)
        uncertainty = forecast_uncertainty(signal, now_s, horizon_s)
        return plan_width(self.rules, remaining, expected, now_s, uncertainty)

    def _remaining_budget(self, state: SweepState) -> float:
        """Remaining grams over those of one trial-hour at intensity 1; inf without a budget or a power."""
        if self._budget_g is None:
            return math.inf
        if state.emitted_g >= self._budget_g:
            return 0.0
        if not state.power_w > 0:
            return math.inf
        return (self._budget_g - state.emitted_g) / (state.power_w * HOUR_S / J_PER_KWH)

    def describe(self, unit: str) -> str:
        """One line: what runs, what is planned, the signal's value, the time to the deadline."""
        if not self.steps:
            return "not started"
        step, schedule = self.steps[-1], self.schedules[-1]
        busy = np.flatnonzero(schedule.widths > 0)
        wait_h = (schedule.edges_s[busy[0]] - step.at_s) / HOUR_S if len(busy) and not step.planned else 0.0
        wait = f", next in {wait_h:.1f} h" if len(busy) and not step.planned else ""
        left_h = (self.rules.deadline_s - step.at_s) / HOUR_S
        return (
            f"{step.running} of {step.planned} planned running, {step.paused} paused{wait}; "
            f"{step.value:.0f} {unit}; {left_h:.1f} h to the deadline ({schedule.reason})"
        )
