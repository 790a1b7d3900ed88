"""The books of a job that recurs: what its history knows, what a run is asked for, what it has told."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

from zeus_ray.carbon.search_objective import SearchObjective
from zeus_ray.decide import Search
from zeus_ray.errors import HistoryError
from zeus_ray.jobs.explanations import expectation, why
from zeus_ray.jobs.job_summary import Past, past
from zeus_ray.jobs.lost_runs import check_one_kind_of_measurement, lost_runs, next_knobs
from zeus_ray.jobs.process_info import ProcessInfo
from zeus_ray.records import Best, Plan, StopReason, to_json
from zeus_ray.store.event_log import ASK, END, LOST, PROFILE, Event, Events
from zeus_ray.store.event_replay import Point, replay
from zeus_ray.store.warm_start import Learned
from zeus_ray.training.plan_builder import plan_for_knobs
from zeus_ray.tune.trial_record import TrialRecord

AGAIN = (StopReason.COST_CAP, StopReason.NOT_WORTH_IT, StopReason.PROFILED, StopReason.OUT_OF_MEMORY)
"""A run that ended so has not done the job."""

log = logging.getLogger("zeus_ray")


class JobLog:
    """Ask, observe and tell, for any number of runs at once; see :class:`zeus_ray.RecurringJob`.

    Args:
        events: the job's history.
        job: its name.
        new_search: makes the search as it is before any run.
        gpus: GPUs of one run.
        objective: what a joule costs now.
        warm_start: what other searches knew.
    """

    def __init__(
        self,
        events: Events,
        job: str,
        new_search: Callable[[], Search],
        *,
        gpus: int,
        objective: SearchObjective,
        warm_start: Learned,
    ) -> None:
        self.job = job
        self._new_search = new_search
        self._gpus = gpus
        self._objective = objective
        self._events = events
        self._warm_start = warm_start
        self._search = self._rebuilt(())
        self._trials: dict[str, TrialRecord] = {}
        self._curves: dict[str, list[Point]] = {}
        self._to_the_end: set[str] = set()

    # --- the history -------------------------------------------------------------------------------

    def search(self) -> Search:
        """The search as the whole history makes it, now. Raises HistoryError."""
        return self._rebuilt(self._events.read())

    def best(self) -> Best:
        """The knobs to use now, with what a run should take."""
        return self.search().best()

    def past(self) -> Past:
        """Every run so far, and what the job has saved against its default."""
        return past(self._events.read(), self.job)

    def why(self, plan: Plan) -> str:
        """One sentence on a plan that was just asked for: its knobs, and the reason for them."""
        return why(plan.knobs, self._search.target, self._search.best(), self.past())

    def expectation(self) -> str:
        """One sentence on the best knobs, and what they should take."""
        return expectation(self.best())

    def _rebuilt(self, events: Iterable[Event]) -> Search:
        search = self._new_search()
        if any(self._warm_start):
            search.warm_start(*self._warm_start)
        replay(search, events)
        return search

    # --- ask, observe, tell ------------------------------------------------------------------------

    def ask(self, gpu: str = "", *, to_the_end: bool = False) -> Plan:
        """What to run now: for ``config["zeus"]`` (:meth:`Plan.to_config`), or to be followed by hand.

        Runs whose process is gone are given up first. ``gpu``: the kind it will run on, where known.
        ``to_the_end``: a run that is not stopped for its cost.

        Raises:
            HistoryError: the storage cannot be read or written.
            BadInput: the history is of simulated boards and this run is not, or the other way round.
        """
        events = self._events.read()
        check_one_kind_of_measurement(events)
        for run, why_lost in lost_runs(events, self._trials):
            log.warning("zeus-ray: run %s of %s is given up: %s", run, self.job, why_lost)
            self._events.append(LOST, run, {"why": why_lost, "crashed": True})
        events = self._events.read()
        self._search = search = self._rebuilt(events)
        run_id = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        energy_price = self._objective.energy_price()
        knobs = next_knobs(search, gpu, run_id, energy_price)
        if to_the_end:
            knobs = dataclasses.replace(knobs, cost_cap=math.inf)
            search.drop_pending(run_id)
            search.add_pending(knobs)
            self._to_the_end.add(run_id)
        body = {
            "knobs": dataclasses.asdict(knobs),
            "gpu": gpu,
            "energy_price": energy_price,
            "place": dataclasses.asdict(ProcessInfo.here()),
            "default_batch_size": search.default_batch_size,
            "gpus": self._gpus,
        }
        self._events.append(ASK, run_id, body)
        self._trials[run_id], self._curves[run_id] = TrialRecord(knobs), []
        footprint = self._objective.emissions
        return plan_for_knobs(search, knobs, gpus=self._gpus, energy_price=energy_price, footprint=footprint)

    def observe(self, run_id: str, result: dict[str, Any]) -> StopReason | None:
        """Take in a result of ``run.report``: why the run should end now, or None."""
        trial, search = self._trials[run_id], self._search
        if trial.verdict == StopReason.TARGET_REACHED or not trial.observe(result, search.target):
            return trial.verdict
        self._learn_profile(run_id, trial)
        progress, curve = trial.progress(), self._curves[run_id]
        if not curve or curve[-1][1] != progress.metric:
            used = progress.measurement
            curve.append((progress.epoch, progress.metric, used.energy_j, used.time_s))
        verdict = search.should_stop(progress)
        trial.verdict = None if verdict in AGAIN and run_id in self._to_the_end else verdict
        if trial.report.stop_reason == StopReason.OUT_OF_MEMORY:
            trial.verdict = StopReason.OUT_OF_MEMORY
        return trial.verdict

    def tell(self, run_id: str, *, error: bool = False) -> None:
        """The run has ended, by itself or because it was stopped; ``error``: it has failed."""
        trial, search = self._trials.pop(run_id), self._search
        if trial.iteration == 0 and not error:
            log.warning("zeus-ray: run %s ended without one report: it counts as a crash", run_id)
        self._learn_profile(run_id, trial, ended=True)
        outcome = trial.outcome(search.target, error=error or trial.iteration == 0)
        body = {
            "outcome": dataclasses.asdict(outcome),
            "curve": self._curves.pop(run_id),
            "target": dataclasses.asdict(search.target),
            "report": {**dataclasses.asdict(trial.report), "profile": "", "profile_so_far": ""},
        }
        self._keep(END, run_id, body)
        search.tell(outcome)

    def withdraw(self, run_id: str, why: str) -> None:
        """The run says nothing: it never began, or somebody interrupted it."""
        self._trials.pop(run_id, None)
        self._keep(LOST, run_id, {"why": why, "crashed": False})
        self._search.drop_pending(run_id)

    def _learn_profile(self, run_id: str, trial: TrialRecord, *, ended: bool = False) -> None:
        profile = trial.new_profile(ended=ended)
        if profile is not None:
            self._keep(PROFILE, run_id, {"profile": to_json(profile)})
            self._search.observe_profile(profile)

    # --- in the background -------------------------------------------------------------------------

    def _keep(self, kind: str, run_id: str, body: dict[str, Any]) -> None:
        """Append; a storage that fails now must not fail a training that is done."""
        try:
            self._events.append(kind, run_id, body)
        except HistoryError as error:
            log.error(  # noqa: TRY400 — the storage's own words are in the message
                "zeus-ray: %s. Not remembered: %s of run %s: %s", error, kind, run_id, json.dumps(body)
            )
