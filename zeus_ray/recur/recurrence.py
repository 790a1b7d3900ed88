"""``zeus.Recurrence``: a job that is trained again and again, each run a step of one endless search."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, TypeVar

from zeus_ray.decide import Search
from zeus_ray.errors import BadInput, HistoryError, TargetNotReached
from zeus_ray.history.earlier import earlier_runs
from zeus_ray.history.events import ASK, END, LOST, PROFILE, Event, Events, folder_at
from zeus_ray.history.replay import Point, replay
from zeus_ray.records import Best, Plan, StopReason, Target, key
from zeus_ray.recur.place import Place
from zeus_ray.recur.summary import Past, past
from zeus_ray.recur.upkeep import check_one_kind_of_measurement, gpu_here, lost_runs, next_knobs
from zeus_ray.recur.words import expectation, why
from zeus_ray.run.run import Run
from zeus_ray.tune.outcomes import Trial
from zeus_ray.tune.plans import carried_settings
from zeus_ray.tune.session import is_out_of_memory, open_session

AGAIN = (StopReason.COST_CAP, StopReason.NOT_WORTH_IT, StopReason.PROFILED, StopReason.OUT_OF_MEMORY)
"""A run that ended so has not done the job."""
TRIES = 3
"""So many runs make a recurrence: all but the last may be stopped for their cost."""


log = logging.getLogger("zeus_ray")
Answer = TypeVar("Answer")


class Recurrence:
    """One job that comes back. Any number of its runs may be under way, on any machines.

    >>> job = zeus.Recurrence("s3://bucket/zeus", job="resnet-nightly", batch_sizes=[64, 128, 256],
    ...                       default_batch_size=128, target=zeus.Target("accuracy", 0.95))
    >>> with job.run() as run: ...

    Each run asks the history what to try, and tells it how it went, however it ended. The search is
    read from the history each time, so that batch sizes, target and eta may change between runs.

    Args:
        history: a folder, or a URI that pyarrow knows (``s3://…``, ``gs://…``). Jobs may share one.
        job: the name of the job: letters, digits, '.', '_' and '-'.
        batch_sizes: what to choose from (samples per step, over all GPUs of a run); "auto": the default
            times powers of two, as far as they fit.
        default_batch_size: the one in use today.
        target: the metric, and the value that counts as trained; without a value: what the default reaches.
        eta: 1 saves energy alone, 0 time alone.
        power_limits_w: limits to consider (W per GPU); None: each board's own range.
        max_power_w: MAXPOWER of Eq. 2 (W per GPU); None: as the first board says.
        gpus: GPUs of one run.
        beta: a run is stopped before it costs beta times the cheapest.
        max_epochs: a run that has not reached the target by then has failed.
        policy: "zeus-ray", or "nsdi23" for the published one.
        future_runs: how many more runs to expect: what knowing better is worth.
        window: only the newest this many runs of a batch size count (nsdi23; None: all).
        accumulate: a batch size that does not fit in memory runs as micro-batches (``run.micro_batch_size``).
        seed: the same seed and the same history ask the same.
        points_to_evaluate: batch sizes to try first, in this order.
        earlier: histories to begin with: folders of jobs, or ``history_file`` of a ZeusSearcher. From
            another kind of GPU too: epochs carry over, profiles do not.

    Raises:
        BadInput: an argument that cannot be, naming what is allowed.
    """

    def __init__(
        self,
        history: str | os.PathLike[str],
        job: str,
        *,
        batch_sizes: Sequence[int] | Literal["auto"],
        default_batch_size: int,
        target: Target,
        eta: float = 0.5,
        power_limits_w: Sequence[float] | None = None,
        max_power_w: float | None = None,
        gpus: int = 1,
        beta: float = 2.0,
        max_epochs: float = 100,
        policy: Literal["zeus-ray", "nsdi23"] = "zeus-ray",
        future_runs: int = 50,
        window: int | None = None,
        accumulate: bool = False,
        seed: int = 0,
        points_to_evaluate: Sequence[int] = (),
        earlier: Iterable[str | os.PathLike[str]] = (),
    ) -> None:
        if not isinstance(target, Target):
            raise BadInput(f"target is {target!r}; needed: Target(metric, value), or Target(metric)")
        given = locals()
        options = {name: given[name] for name in OPTIONS}
        self.job = job
        self._new_search = partial(Search, **options, recurring=True)
        self._gpus = gpus
        self._events = Events(folder_at(history, job))
        self._earlier = earlier_runs(earlier, target)
        self._search = self._rebuilt(())
        self._trials: dict[str, Trial] = {}
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
        if any(self._earlier):
            search.remember(*self._earlier)
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
        run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
        knobs = next_knobs(search, gpu, run_id)
        if to_the_end:
            knobs = dataclasses.replace(knobs, cost_cap=math.inf)
            search.forget(run_id)
            search.adopt(knobs)
            self._to_the_end.add(run_id)
        body = {
            "knobs": dataclasses.asdict(knobs),
            "gpu": gpu,
            "place": dataclasses.asdict(Place.here()),
            "default_batch_size": search.default_batch_size,
            "gpus": self._gpus,
        }
        self._events.append(ASK, run_id, body)
        self._trials[run_id], self._curves[run_id] = Trial(knobs), []
        return Plan(
            knobs=knobs,
            eta=search.eta,
            beta=search.beta,
            max_power_w=search.max_power_w,
            max_epochs=search.max_epochs,
            target=search.target,
            default_batch_size=search.default_batch_size,
            profiles=tuple(p for p in search.profiles if p.batch_size == knobs.batch_size),
            energy_price=1.0,
            gpus=self._gpus,
            **carried_settings(),
        )

    def observe(self, run_id: str, result: dict[str, Any]) -> StopReason | None:
        """Take in a result of ``run.report``: why the run should end now, or None."""
        trial, search = self._trials[run_id], self._search
        if trial.verdict == StopReason.TARGET_REACHED or not trial.observe(result, search.target):
            return trial.verdict
        profile = trial.new_profile()
        if profile is not None:
            self._keep(PROFILE, run_id, {"profile": profile.to_json()})
            search.observe_profile(profile)
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
        outcome = trial.outcome(search.target, error=error or trial.iteration == 0)
        body = {
            "outcome": dataclasses.asdict(outcome),
            "curve": self._curves.pop(run_id),
            "target": dataclasses.asdict(search.target),
            "report": {**dataclasses.asdict(trial.report), "profile": ""},
        }
        self._keep(END, run_id, body)
        search.tell(outcome)

    def withdraw(self, run_id: str, why: str) -> None:
        """The run says nothing: it never began, or somebody interrupted it."""
        self._trials.pop(run_id, None)
        self._keep(LOST, run_id, {"why": why, "crashed": False})
        self._search.forget(run_id)

    # --- a run -------------------------------------------------------------------------------------

    @contextmanager
    def run(self, *, to_the_end: bool = False, window_s: float = 5.0, settle_s: float = 1.0) -> Iterator[Run]:
        """Ask, open a session (see :func:`zeus_ray.session`), and tell at the end, however it ends.

        ``run.batch_size``, ``run.scale_lr``, ``run.steps`` and ``run.report`` are the training loop's;
        it ends when ``run.stop`` is set. If that is for its cost, the job is still to be done:
        :meth:`train` tries again by itself, and ``to_the_end`` runs without such stops.

        Raises:
            whatever the body raises, after telling it; running out of memory too.
        """
        plan = self.ask(gpu_here(self._gpus), to_the_end=to_the_end)
        run_id, began, failure = plan.knobs.run_id, False, None
        kind = partial(JobRun, self)
        try:
            with open_session(
                plan, None, gpus=self._gpus, window_s=window_s, settle_s=settle_s, kind=kind
            ) as run:
                began = True
                try:
                    yield run
                except Exception as error:
                    failure = error  # which the session swallows where it is a lack of memory
                    raise
        except BaseException as error:
            if began and isinstance(error, Exception):
                self.tell(run_id, error=True)
            else:
                self.withdraw(run_id, f"{'interrupted' if began else 'never began'}: {error!r}")
            raise
        self.tell(run_id)
        if failure is not None:
            raise failure

    def train(
        self,
        function: Callable[[Run], Answer],
        *,
        tries: int = TRIES,
        window_s: float = 5.0,
        settle_s: float = 1.0,
    ) -> Answer:
        """Call ``function(run)`` until a run was not stopped; the last of ``tries`` is not, at any cost.

        Returns what the last call returned. Runs that do not fit in memory do not count as tries.

        Raises:
            TargetNotReached: no batch size fits in memory.
        """
        stopped = 0
        for _ in range(tries + len(self._search.batch_sizes)):
            try:
                with self.run(to_the_end=stopped >= tries - 1, window_s=window_s, settle_s=settle_s) as run:
                    answer = function(run)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                continue
            if run.stop not in AGAIN:
                return answer
            stopped += 1
        raise TargetNotReached(
            f"{self.job}: no batch size of {list(self._search.batch_sizes)} fits in memory"
        )

    # --- in the background -------------------------------------------------------------------------

    def _keep(self, kind: str, run_id: str, body: dict[str, Any]) -> None:
        """Append; a storage that fails now must not fail a training that is done."""
        try:
            self._events.append(kind, run_id, body)
        except HistoryError as error:
            log.error(  # noqa: TRY400 — the storage's own words are in the message
                "zeus-ray: %s. Not remembered: %s of run %s: %s", error, kind, run_id, json.dumps(body)
            )


OPTIONS = (
    "batch_sizes",
    "default_batch_size",
    "target",
    "eta",
    "power_limits_w",
    "max_power_w",
    "gpus",
    "beta",
    "max_epochs",
    "policy",
    "future_runs",
    "window",
    "accumulate",
    "seed",
    "points_to_evaluate",
)
"""Arguments of a Recurrence that are its search's."""


class JobRun(Run):
    """A run whose results go to the history's search, which may end it."""

    def __init__(self, job: Recurrence, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 — Run's
        super().__init__(*arguments, **options)
        self._job = job

    def send(self, result: dict[str, Any], **options: Any) -> None:  # noqa: ANN401, ARG002 — as Run.send
        """Let the search see the result, and stop the run if it says so."""
        verdict = self._job.observe(self.plan.knobs.run_id, result)
        if self.stop is None and verdict is not None:
            self.stop = verdict
            result[key("stop_reason")] = verdict.value
