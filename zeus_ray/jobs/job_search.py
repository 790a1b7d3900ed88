"""The search of a recurring job: rebuilt from the event log for each run; ask, observe, tell."""

from __future__ import annotations

import dataclasses
import logging
import math
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

from zeus_ray.carbon.objective_from_arguments import SearchObjective
from zeus_ray.errors import BadInput, TargetNotReached
from zeus_ray.gpus import discovery
from zeus_ray.jobs.explanations import expectation_sentence, knobs_sentence
from zeus_ray.jobs.job_summary import JobSummary, summarize
from zeus_ray.jobs.lost_runs import find_lost_runs, this_process
from zeus_ray.records import VIRTUAL_ENERGY, Best, Knobs, MeasuredBy, Plan, StopReason
from zeus_ray.search.search import Search
from zeus_ray.store.event_log import EventLog, LoggedEvent
from zeus_ray.store.event_replay import replay
from zeus_ray.store.events import RunAsked, RunEnded, RunLost
from zeus_ray.store.outcome_from_reports import ActiveRun
from zeus_ray.store.search_recorder import SearchRecorder
from zeus_ray.store.warm_start import WarmStart
from zeus_ray.training.plan_from_config_or_arguments import carried_settings

STOPPED_EARLY = (
    StopReason.COST_CAP,
    StopReason.NOT_WORTH_IT,
    StopReason.PROFILED,
    StopReason.OUT_OF_MEMORY,
)
"""Why a run ends without having trained the model: the job has to run again."""
REAL_ENERGY = (MeasuredBy.COUNTER, MeasuredBy.POWER_INTEGRAL)

logger = logging.getLogger("zeus_ray")


class JobSearch:
    """Ask, observe and tell, for any number of runs at once; see :class:`zeus_ray.RecurringJob`.

    Args:
        log: the event log of the job.
        job: its name.
        new_search: makes the search as it is before any run.
        gpus: GPUs of one run.
        objective: what a joule costs now.
        warm_start: results of other searches.
    """

    def __init__(
        self,
        log: EventLog,
        job: str,
        new_search: Callable[[], Search],
        *,
        gpus: int,
        objective: SearchObjective,
        warm_start: WarmStart,
    ) -> None:
        self.job = job
        self._log = log
        self._new_search = new_search
        self._gpus = gpus
        self._objective = objective
        self._warm_start = warm_start
        self._recorder = SearchRecorder(self._rebuilt(()), log)
        self._runs: dict[str, ActiveRun] = {}
        self._to_the_end: set[str] = set()

    # --- results so far ----------------------------------------------------------------------------

    def search(self) -> Search:
        """The search with everything that is in the log now. Raises HistoryError."""
        return self._rebuilt(self._log.read())

    def best(self) -> Best:
        """The knobs to use now, with what a run should take."""
        return self.search().best()

    def summary(self) -> JobSummary:
        """Every run so far, and what the job has saved against its default."""
        return summarize(self._log.read(), self.job)

    def why(self, plan: Plan) -> str:
        """One sentence on a plan that was just asked for: its knobs, and the reason for them."""
        return knobs_sentence(
            plan.knobs, self._recorder.search.target, self._recorder.search.best(), self.summary()
        )

    def expectation(self) -> str:
        """One sentence on the best knobs, and what a run with them should take."""
        return expectation_sentence(self.best())

    def _rebuilt(self, events: Iterable[LoggedEvent]) -> Search:
        search = self._new_search()
        if any(self._warm_start):
            search.warm_start(*self._warm_start)
        replay(search, events)
        return search

    # --- ask, observe, tell ------------------------------------------------------------------------

    def ask(self, gpu: str = "", *, to_the_end: bool = False) -> Plan:
        """What to run now: for ``config["zeus"]`` (:meth:`Plan.to_config`), or to be followed by hand.

        Runs whose process is gone are given up first.

        Args:
            gpu: the kind of GPU it will run on, where known.
            to_the_end: a run that is not stopped for its cost.

        Raises:
            HistoryError: the storage cannot be read or written.
            BadInput: the log has simulated energy and this run is real, or the other way round.
        """
        self._recorder.search = search = self._rebuilt(self._events_for_next_run())
        energy_price = self._objective.energy_price()
        knobs = self._next_knobs(gpu, energy_price, to_the_end=to_the_end)
        self._log.append(
            RunAsked(
                knobs=knobs,
                process=this_process(),
                default_batch_size=search.default_batch_size,
                gpu=gpu,
                gpus=self._gpus,
                energy_price=energy_price,
            )
        )
        self._runs[knobs.run_id] = ActiveRun(knobs)
        return Plan.of_search(
            search,
            knobs,
            gpus=self._gpus,
            energy_price=energy_price,
            emissions=self._objective.emissions,
            **carried_settings(),
        )

    def observe(self, run_id: str, result: dict[str, Any]) -> StopReason | None:
        """Take in a result of ``run.report``. Returns why the run should end now, or None.

        Raises:
            BadInput: no such run was asked for here, or it has ended.
        """
        run = self._active(run_id)
        stop = self._recorder.observe(run, result)
        if stop in STOPPED_EARLY and run_id in self._to_the_end:
            run.stop = None
        if run.report.stop_reason == StopReason.OUT_OF_MEMORY:
            run.stop = StopReason.OUT_OF_MEMORY
        return run.stop

    def tell(self, run_id: str, *, error: bool = False) -> None:
        """The run has ended, by itself or because it was stopped.

        Args:
            run_id: of ``plan.knobs``.
            error: the run has failed.

        Raises:
            BadInput: no such run was asked for here, or it has ended.
        """
        run = self._active(run_id)
        if run.iteration == 0 and not error:
            logger.warning("zeus-ray: run %s ended without one report: it counts as a crash", run_id)
        del self._runs[run_id]
        self._recorder.end(run, error=error or run.iteration == 0)

    def withdraw(self, run_id: str, why: str) -> None:
        """The run has no outcome, for a reason that is not its knobs: it never began, or was interrupted."""
        self._runs.pop(run_id, None)
        self._recorder.record(RunLost(run_id=run_id, why=why, crashed=False))
        self._recorder.search.drop_pending(run_id)

    # --- in the background -------------------------------------------------------------------------

    def _events_for_next_run(self) -> list[LoggedEvent]:
        """The log, after giving up the runs that will not end any more."""
        events = self._log.read()
        _check_measurement(events)
        lost = list(find_lost_runs(events, self._runs))
        for run in lost:
            logger.warning("zeus-ray: run %s of %s is given up: %s", run.run_id, self.job, run.why)
            self._log.append(run)
        return self._log.read() if lost else events

    def _next_knobs(self, gpu: str, energy_price: float, *, to_the_end: bool) -> Knobs:
        """The suggestion of the search; the default where it has none, because the job must run."""
        search = self._recorder.search
        run_id = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        try:
            knobs = search.ask(gpu, run_id, energy_price=energy_price)
        except TargetNotReached as error:
            logger.warning("zeus-ray: %s", error)
            knobs = None
        if knobs is None:
            knobs = Knobs(run_id=run_id, batch_size=search.default_batch_size)
            search.add_pending(knobs)
        if to_the_end:
            knobs = dataclasses.replace(knobs, cost_cap=math.inf)
            search.drop_pending(run_id)
            search.add_pending(knobs)
            self._to_the_end.add(run_id)
        return knobs

    def _active(self, run_id: str) -> ActiveRun:
        if run_id not in self._runs:
            under_way = ", ".join(self._runs) or "none"
            raise BadInput(f"run {run_id!r} is not under way here; under way: {under_way}")
        return self._runs[run_id]


def _check_measurement(events: Iterable[LoggedEvent]) -> None:
    """Raise BadInput where simulated and real joules would be mixed in one log."""
    unlike = REAL_ENERGY if discovery.is_virtual(discovery.gpu_source()) else VIRTUAL_ENERGY
    ended = (logged.event for logged in events if isinstance(logged.event, RunEnded))
    seen = {event.report.measured_by for event in ended}
    other = next((kind for kind in unlike if kind in seen), None)
    if other is not None:
        raise BadInput(
            f"energy in this history is by {other}, but {discovery.GPU_VARIABLE}={discovery.gpu_source()} "
            "now: a history needs one kind of measurement; use another history or job for the other"
        )
