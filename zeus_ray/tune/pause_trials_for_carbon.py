"""``Elastic``: pauses and resumes a search's trials, so that it ends in time with the least emissions."""

from __future__ import annotations

import datetime as dt
import math
import time
from typing import TYPE_CHECKING, Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from zeus_ray.carbon.open_signal import absolute_signal, open_signal
from zeus_ray.carbon.planning.sweep_replanning import SweepPlanner
from zeus_ray.carbon.planning.width_planner import WidthRules, WidthSchedule
from zeus_ray.carbon.series import Signal
from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import HOUR_S, parse_iso_time
from zeus_ray.records import EmissionsConfig, TrialReport
from zeus_ray.tune.tune_controller import ControllerView, can_pause, trained_s

if TYPE_CHECKING:
    from zeus_ray.reporting.pictures.picture import Picture

DEFAULT_MARGIN = 0.05
"""Share of the time from construction to the deadline that is kept free by default."""


class Elastic:
    """Pass it as ``EnergyScheduler(..., carbon=Elastic("csv:grid.csv", deadline="2026-12-01T08:00"))``.

    While electricity is dirty, trials that can checkpoint are paused and none is started; while it is
    clean, up to ``max_trials`` run. A ``Trainable`` with ``save_checkpoint`` can be paused, and a function
    whenever it reports a checkpoint. As the deadline nears, everything runs, whatever the forecast.
    That depends on how long trials take: on those that have ended, and before the first has, on
    ``hours_per_trial``; without it the search runs at full width until one has ended.

    Args:
        signal: intensity or price over time: a text such as ``csv:PATH``, or a Signal (trials cannot open
            a Signal, so their ``zeus/carbon_g`` stays unknown).
        deadline: when the search must be done: ISO 8601 (local time if it states no zone), or seconds
            since 1970.
        min_trials: at least so many trials run at any time.
        max_trials: at most so many trials run at any time.
        budget_g: grams that the search may emit, by ``zeus/carbon_g``; it ends when they are emitted.
        hours_per_trial: how long one trial takes at most; None: unknown.
        margin_s: finish this long before the deadline; None: 5 % of the time from now to the deadline.
        replan_every_s: how often the plan is made again.
        chase_eta: weight of carbon against time with which power limits follow the signal, too; None: they
            do not.
        clock: a fast clock for tests and examples; see :class:`zeus_ray.records.EmissionsConfig`.

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
        replan_every_s: float = 300.0,
        chase_eta: float | None = None,
        clock: tuple[float, float, float] = (0.0, 0.0, 1.0),
    ) -> None:
        signal = absolute_signal(signal) if isinstance(signal, str) else signal
        self._given_signal = signal
        self._opened_signal: Signal | None = None
        unit = self.signal.unit
        self._clock = EmissionsConfig(signal="", clock=clock)
        deadline_s, now_s = _deadline_s(deadline), self.now_s()
        if deadline_s <= now_s:
            passed, now = (
                dt.datetime.fromtimestamp(s, dt.timezone.utc).isoformat(" ", "minutes")
                for s in (deadline_s, now_s)
            )
            raise BadInput(f"the deadline {deadline!r} ({passed}) has passed: it is {now}; give a later one")
        rules = WidthRules(
            deadline_s=deadline_s,
            min_trials=min_trials,
            max_trials=max_trials,
            margin_s=DEFAULT_MARGIN * (deadline_s - now_s) if margin_s is None else margin_s,
            replan_every_s=replan_every_s,
        )
        self.planner = SweepPlanner(rules, hours_per_trial=hours_per_trial, budget_g=budget_g)
        self.emissions = (
            EmissionsConfig(signal=signal, unit=unit, eta=chase_eta, clock=clock)
            if isinstance(signal, str)
            else None
        )
        self._paused: set[str] = set()
        self._measured: set[tuple[str, str]] = set()
        """Kinds of GPU and of measurement that trials have reported."""

    def __getstate__(self) -> dict[str, Any]:
        """Without a signal opened from text, which may hold threads: it is opened again when it is needed."""
        opened = None if isinstance(self._given_signal, str) else self._opened_signal
        return {**self.__dict__, "_opened_signal": opened}

    @property
    def signal(self) -> Signal:
        """Intensity or price over time."""
        if self._opened_signal is None:
            given = self._given_signal
            self._opened_signal = open_signal(given) if isinstance(given, str) else given
        return self._opened_signal

    def now_s(self) -> float:
        """The time on the grid (s since 1970)."""
        return self._clock.grid_s(time.time())

    # --- called by the scheduler -----------------------------------------------------------------

    def restore_trial(self, trial: Trial) -> None:
        """Take over how long a trial ran before a restore: until its end, or until its last checkpoint."""
        ended = trial.status == Trial.TERMINATED
        checkpoint = trial.latest_checkpoint_result
        result = trial.last_result if ended else checkpoint and checkpoint.metrics
        _real_s, _grid_s, rate = self._clock.clock
        self.planner.hours.restore(trial.trial_id, trained_s(result) * rate / HOUR_S, ended=ended)

    def should_pause(self, controller: ControllerView, trial: Trial, result: dict[str, Any]) -> bool:
        """Whether this trial, which has just reported, pauses: too many run, and it can be resumed later."""
        report = TrialReport.from_result(result)
        if report is not None:
            self._measured.add((report.gpu, report.measured_by))
        width = self._plan(controller).now
        if len(controller.active() - self._paused) <= width or not can_pause(trial, result):
            return False
        self._paused.add(trial.trial_id)
        return True

    def choose(self, controller: ControllerView, base: TrialScheduler) -> Trial | None:
        """The trial that starts or resumes now; None if no more should run.

        Of the paused trials the one that has trained longest comes first, so that few are half done.
        """
        width, active = self._plan(controller).now, controller.active()
        if width <= len(active - self._paused):
            self._paused |= controller.pause_waiting()
            # With none to come Tune may ask for a new trial, by which it finds that the search is over.
            controller.allow_new(0 if controller.to_come() else 1)
            return None
        paused = [t for t in controller.trials if t.trial_id in self._paused and t.status == Trial.PAUSED]
        if paused:
            chosen = max(paused, key=lambda trial: trained_s(trial.last_result))
        else:
            chosen = base.choose_trial_to_run(controller.tune_controller)
        new = 1
        if chosen is not None and chosen.trial_id in active and not controller.cluster_is_full():
            # It is being started, which takes a while: the next one may start meanwhile.
            chosen = next(iter(controller.waiting()), None)
            new += controller.starting()
        if chosen is not None:
            self._paused.discard(chosen.trial_id)
        # Tune starts every waiting trial by itself: allow one at a time, and none beside the chosen one.
        controller.allow_new(0 if chosen is not None else new)
        return chosen

    def _plan(self, controller: ControllerView) -> WidthSchedule:
        schedule = self.planner.plan(self.signal, self.now_s(), controller.sweep_state(self._paused))
        if schedule.reason == "budget spent":
            controller.end_search()
        return schedule

    # --- for people ------------------------------------------------------------------------------

    def progress(self) -> str:
        """One line: the plan, and what runs."""
        return f"Elastic: {self.planner.describe(self.signal.unit)}"

    def picture(self) -> Picture:
        """The plans against what ran, since the last restore if there was one, and the plan from now on.

        Raises:
            BadInput: the search has not started.
        """
        from zeus_ray.reporting.pictures.sweep_width_picture import sweep_picture  # noqa: PLC0415 — only to draw

        steps = [(step.at_s, step.value, step.planned, step.running) for step in self.planner.steps]
        last = self.planner.schedules[-1] if steps else None
        ahead = (last.edges_s.tolist(), last.widths.tolist()) if last else None
        deadline_s = self.planner.rules.deadline_s
        gpus, measured_by = zip(*self._measured, strict=True) if self._measured else ((), ())
        return sweep_picture(
            steps,
            unit=self.signal.unit,
            deadline_s=deadline_s,
            planned=ahead,
            gpus=gpus,
            measured_by=measured_by,
        )


def _deadline_s(deadline: str | float | dt.datetime) -> float:
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
        raise BadInput(f"deadline is {deadline!r}; a finite time is needed")
    return seconds
