"""``Elastic``: how many trials of a search run now, so that it ends in time at the least carbon."""

from __future__ import annotations

import datetime as dt
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from zeus_ray.carbon.forecasts.gp_forecast import GpForecast
from zeus_ray.carbon.forecasts.lookahead import look_ahead
from zeus_ray.carbon.planning.width_planner import (
    HOUR_S,
    ForecastUncertainty,
    Schedule,
    WidthRules,
    plan_width,
)
from zeus_ray.carbon.series import J_PER_KWH, Series, Signal
from zeus_ray.carbon.signal import open_signal
from zeus_ray.errors import BadInput
from zeus_ray.records import EmissionsConfig
from zeus_ray.tune import controller as workload
from zeus_ray.units import parse_iso_time

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARGIN = 0.05
"""Of the time from construction to the deadline: what is kept free where ``margin_s`` does not say."""
LOOK_BACK_S = 28 * 86400.0


@dataclass(frozen=True)
class PlanningStep:
    """What was seen and decided at one look: time on the grid (s), the signal's value, numbers of trials."""

    at_s: float
    value: float
    planned: int
    running: int
    paused: int


class Elastic:
    """Pass it as ``EnergyScheduler(..., carbon=Elastic("csv:grid.csv", deadline="2026-12-01T08:00"))``.

    While electricity is dirty, trials that can checkpoint are paused and none is started; while it is
    clean, up to ``max_trials`` run. A ``Trainable`` with ``save_checkpoint`` can be paused, and a function
    whenever it reports a checkpoint. As the deadline nears, everything runs, whatever a forecast says.
    That rests on how long trials take: on those that have ended, and before the first has, on
    ``hours_per_trial``; without it the search runs at full width until one has ended.

    Args:
        signal: intensity or price over time: a text such as ``csv:PATH``, or a Signal (trials cannot open
            that, so their ``zeus/carbon_g`` stays unknown).
        deadline: when the search must be done: ISO 8601 (local time unless it says), or seconds since 1970.
        min_trials: so many run at any time.
        max_trials: never more than that.
        budget_g: grams the search may emit, by ``zeus/carbon_g``; it ends when they are spent.
        hours_per_trial: how long one takes, at most, where you know.
        margin_s: be done so much earlier; None: a twentieth of the time there is.
        look_every_s: how often the plan is made again.
        chase_eta: let power limits follow the grid too, with this weight of carbon against time.
        clock: a fast clock, for tests and stories; see :class:`zeus_ray.records.EmissionsConfig`.

    Raises:
        BadInput: a deadline that has passed, or any other impossible argument.
    """

    def __init__(
        self,
        signal: str | Signal,
        *,
        deadline: str | float | dt.datetime,
        min_trials: int = 0,
        max_trials: int = 8,
        budget_g: float | None = None,
        hours_per_trial: float | None = None,
        margin_s: float | None = None,
        look_every_s: float = 300.0,
        chase_eta: float | None = None,
        clock: tuple[float, float, float] = (0.0, 0.0, 1.0),
    ) -> None:
        self._signal: Signal | None = None
        self._given = signal
        opened = self.signal
        self._clock = EmissionsConfig(signal="", clock=clock)
        deadline_s, now_s = _seconds(deadline), self.now_s()
        if deadline_s <= now_s:
            late, now = (
                dt.datetime.fromtimestamp(s, dt.timezone.utc).isoformat(" ", "minutes")
                for s in (deadline_s, now_s)
            )
            raise BadInput(f"the deadline {deadline!r} ({late}) has passed: it is {now}; give a later one")
        if budget_g is not None and not budget_g > 0:
            raise BadInput(f"budget_g is {budget_g}; a positive number is needed, or None")
        if hours_per_trial is not None and not 0 < hours_per_trial < math.inf:
            raise BadInput(f"hours_per_trial is {hours_per_trial}; a positive number is needed, or None")
        self.rules = WidthRules(
            deadline_s=deadline_s,
            min_trials=min_trials,
            max_trials=max_trials,
            margin_s=MARGIN * (deadline_s - now_s) if margin_s is None else margin_s,
            look_every_s=look_every_s,
        )
        self.footprint = (
            EmissionsConfig(signal=signal, unit=opened.unit, eta=chase_eta, clock=clock)
            if isinstance(signal, str)
            else None
        )
        self.looks: list[PlanningStep] = []
        self.schedules: list[Schedule] = []
        self._budget_g = budget_g
        self._hours = workload.TrialHours(hours_per_trial)
        self._held: set[str] = set()
        self._next_s = -math.inf
        self._open = -1

    def __getstate__(self) -> dict[str, Any]:
        """Without the opened signal, which may hold threads: it is opened again where it is needed."""
        lean = None if isinstance(self._given, str) else self._signal
        return {**self.__dict__, "_signal": lean}

    @property
    def signal(self) -> Signal:
        """Intensity or price over time."""
        if self._signal is None:
            self._signal = open_signal(self._given) if isinstance(self._given, str) else self._given
        return self._signal

    def now_s(self) -> float:
        """The time on the grid."""
        return self._clock.grid_s(time.time())

    # --- what the scheduler asks -----------------------------------------------------------------

    def recall(self, trial: Trial) -> None:
        """A trial has come: from before a restore, it may know how long trials take."""
        _real_s, _then_s, rate = self._clock.clock
        self._hours.recall(trial, rate)

    def should_pause(self, controller: Any, trial: Trial, result: dict[str, Any]) -> bool:  # noqa: ANN401 — Tune's
        """Whether this trial, which has just reported, makes room: too many run, and it can go on later."""
        now = self._look(controller)
        if len(workload.active(controller) - self._held) <= now or not workload.can_pause(trial, result):
            return False
        self._held.add(trial.trial_id)
        return True

    def choose(self, controller: Any, base: TrialScheduler) -> Trial | None:  # noqa: ANN401 — Tune's
        """The trial that starts or resumes now; None where no more should run."""
        now = self._look(controller)
        running = workload.active(controller)
        if now <= len(running - self._held):
            self._held |= workload.hold(controller)
            # Where no more is to come Tune may ask: that is how it finds out.
            workload.allow_new(controller, 0 if workload.to_come(controller) else 1)
            return None
        trials = {trial.trial_id: trial for trial in controller.get_trials()}
        ours = [trials[name] for name in self._held if name in trials and trials[name].status == Trial.PAUSED]
        chosen = min(ours, key=workload.progress_first) if ours else base.choose_trial_to_run(controller)
        new = 1
        if chosen is not None and chosen.trial_id in running and not workload.is_full(controller):
            # That one is being started, which takes a while: the next may start beside it.
            chosen = next(iter(workload.waiting(controller)), None)
            new += workload.starting(controller)
        if chosen is not None:
            self._held.discard(chosen.trial_id)
        # Tune starts by itself whatever it finds waiting: one at a time, and none beside the chosen one.
        workload.allow_new(controller, 0 if chosen is not None else new)
        return chosen

    def progress(self) -> str:
        """One line: the plan, and what runs."""
        if not self.looks:
            return "Elastic: not begun"
        look, schedule = self.looks[-1], self.schedules[-1]
        waits = np.flatnonzero(schedule.widths > 0)
        until_s = schedule.edges_s[waits[0]] if len(waits) else look.at_s
        when = "" if look.planned or not len(waits) else f", next in {(until_s - look.at_s) / HOUR_S:.1f} h"
        left_h = (self.rules.deadline_s - look.at_s) / HOUR_S
        return (
            f"Elastic: {look.running} of {look.planned} planned running, {look.paused} paused{when}; "
            f"{look.value:.0f} {self.signal.unit}; {left_h:.1f} h to the deadline ({schedule.why})"
        )

    def figure(self) -> Figure:
        """The plan against what happened, since a restore if there was one, and what is planned from here.

        Raises:
            BadInput: not begun.
        """
        from zeus_ray.reporting.plots import plot_trials_over_time  # noqa: PLC0415 — matplotlib takes a second

        seen = [(look.at_s, look.value, look.planned, look.running) for look in self.looks]
        ahead = (self.schedules[-1].edges_s.tolist(), self.schedules[-1].widths.tolist()) if seen else None
        return plot_trials_over_time(
            seen, unit=self.signal.unit, deadline_s=self.rules.deadline_s, planned=ahead
        )

    # --- the plan --------------------------------------------------------------------------------

    def _look(self, controller: Any) -> int:  # noqa: ANN401 — Tune's
        """The width planned now; planned again every interval, and when a trial has ended or come."""
        now_s, trials = self.now_s(), controller.get_trials()
        unfinished = [trial for trial in trials if not trial.is_finished()]
        self._hours.observe(now_s, trials, workload.active(controller))
        if now_s < self._next_s and len(unfinished) == self._open:
            return self.schedules[-1].now
        self._next_s, self._open = now_s + self.rules.look_every_s, len(unfinished)
        schedule = self._plan(controller, unfinished, now_s)
        running = len(workload.active(controller) - self._held)
        self.schedules.append(schedule)
        self.looks.append(
            PlanningStep(now_s, self.signal.at(now_s), schedule.now, running, len(unfinished) - running)
        )
        return schedule.now

    def _plan(self, controller: Any, unfinished: list[Trial], now_s: float) -> Schedule:  # noqa: ANN401 — Tune's
        left = self._hours.left(unfinished, workload.to_come(controller), self._affordable(controller))
        whole = np.array([now_s, self.rules.deadline_s])
        if left is None:  # nobody knows how long a trial takes: find out
            return Schedule(
                self.rules.max_trials, whole, np.full(1, float(self.rules.max_trials)), "learning"
            )
        outlook, doubt = self._outlook(now_s)
        schedule = plan_width(self.rules, left, outlook, now_s, doubt)
        if schedule.why == "budget spent":
            workload.end(controller)
        return schedule

    def _outlook(self, now_s: float) -> tuple[Series, ForecastUncertainty | None]:
        """What to expect until the deadline; with our doubts where it is our own forecast."""
        horizon_s = max(HOUR_S, self.rules.deadline_s - now_s)
        outlook = look_ahead(self.signal, now_s, horizon_s)
        if self.signal.forecast(now_s, horizon_s) is not None:
            return outlook, None
        past = self.signal.history(now_s - LOOK_BACK_S, now_s)
        return outlook, GpForecast().doubt(past, horizon_s) if len(past) else None

    def _affordable(self, controller: Any) -> float:  # noqa: ANN401 — Tune's
        """The budget's rest, over grams of one trial-hour at intensity 1; inf without either."""
        if self._budget_g is None:
            return math.inf
        spent_g, power_w = workload.emitted(controller.get_trials())
        if spent_g >= self._budget_g:
            return 0.0
        return (self._budget_g - spent_g) / (power_w * HOUR_S / J_PER_KWH) if power_w > 0 else math.inf


def _seconds(deadline: str | float | dt.datetime) -> float:
    """Seconds since 1970, UTC. Raises BadInput."""
    if isinstance(deadline, str):
        try:
            deadline = parse_iso_time(deadline)
        except ValueError as error:
            raise BadInput(
                f"deadline is {deadline!r}; ISO 8601 is needed, such as 2026-12-01T08:00"
            ) from error
    seconds = deadline.timestamp() if isinstance(deadline, dt.datetime) else float(deadline)
    if not math.isfinite(seconds):
        raise BadInput(f"deadline is {deadline!r}; a point in time is needed")
    return seconds
