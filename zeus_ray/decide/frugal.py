"""The default policy: try what is worth its price, stop what is not.

After the first run at the default batch size, each batch size has an expected cost and an
uncertainty (``outlook``). Trying one is worth the saving it promises, times the runs still to come;
its price is what the trial is expected to cost more than a run of the best known batch size. The
one with the largest net worth runs; where none has any, the best known does.

A run ends early when what it is still expected to take exceeds the cost of a fresh run of the best
known batch size plus what finishing could still save later. Right after its profile it is asked
too, so that a batch size whose epochs turn out dear costs seconds.

Missing values: a run whose epochs are not known counts as one epoch; cost goes by time where energy
is not known. Without any of them the run is a failure of its batch size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from zeus_ray.decide import value, worth
from zeus_ray.decide.curves import Curve, Forecast, forecast
from zeus_ray.decide.epochs import Observation, of_run
from zeus_ray.decide.job import Choice, Job, Run
from zeus_ray.decide.memory import Memory
from zeus_ray.decide.outlook import Outlook, look
from zeus_ray.decide.probing import probes
from zeus_ray.records import Progress, StopReason

ALMOST_NONE = 1e-9
"""Extra variance of an expected observation: none, but it did not happen."""
CHECK_AFTER = 10
"""After this many runs in a row of the best known, an untried neighbour may have one that long."""
COMPARED = 8
"""Learning curves of the newest this many runs are compared with."""


class Frugal:
    """Policy "zeus-ray". What it knows is in its memory and in the job's profiles."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._memory = Memory()
        self._checking: set[int] = set()
        """Batch sizes that run only to see whether the beliefs are right."""
        self._owed = False
        """A run of a recurring job was stopped: the job is still to be done, now by the best known."""
        self._outlook: Outlook | None = None
        self._outlook_of: tuple[Any, ...] = ()

    # --- what to run -----------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """No batch size is worth the price of trying it."""
        checking = set(self._checking)
        nothing = self.choose("") is None
        self._checking = checking  # asking whether there is something starts nothing
        return nothing

    def choose(self, gpu: str) -> Choice | None:
        """The batch size with the largest net worth, or the best known."""
        if not self._something_works:
            return self._first(gpu)
        outlook = self._expect_pending(self._look(gpu), gpu)
        best = self._best(outlook)
        flying = [knobs.batch_size for knobs in self._job.pending.values()]
        net = self._worth(outlook, self._best(outlook, flying))
        net[np.isin(outlook.sizes, flying)] = -np.inf  # wait for what it says before it is run again
        tried = int(np.argmax(net))
        if self._owed:
            tried = best
        elif net[tried] <= 0:
            tried = self._check(outlook, best, net)
            if tried == best and not self._job.settings.recurring:
                return None
        return self._run(outlook, tried, float(outlook.cost[best]), gpu)

    def _check(self, outlook: Outlook, best: int, net: value.Array) -> int:
        """The best known, or an untried neighbour of it, because beliefs may be wrong.

        Now and then where the job recurs; before a search ends, whose answer is used for long.
        """
        seen = [observation.batch_size for observation in self._memory.observations]
        settled = len(seen) >= CHECK_AFTER and set(seen[-CHECK_AFTER:]) == {outlook.sizes[best]}
        if self._job.settings.recurring and not settled:
            return best
        columns = (i for i in (best - 1, best + 1) if 0 <= i < len(outlook.sizes))
        untried = [i for i in columns if outlook.sizes[i] not in seen]
        waiting = [i for i in untried if np.isfinite(net[i])]
        if not waiting:
            return best
        column = max(waiting, key=net.__getitem__)
        self._checking.add(outlook.sizes[column])
        return column

    def _run(self, outlook: Outlook, column: int, best_cost: float, gpu: str) -> Choice:
        cap = self._job.settings.beta * max(best_cost, float(outlook.cost[column]))
        size = outlook.sizes[column]
        epochs = float(np.exp(outlook.epochs.mean[column]))
        limits = probes(self._job, size, gpu, epochs * self._job.settings.future_runs)
        return Choice(batch_size=size, cost_cap=cap, probe_limits_w=limits)

    def _first(self, gpu: str) -> Choice | None:
        """Nothing has reached the target yet: the default; should it fail, its nearest neighbours."""
        default = self._job.settings.default_batch_size
        flying = {knobs.batch_size for knobs in self._job.pending.values()}
        sizes = [b for b in self._job.sizes if not self._memory.failures.get(b)]
        near = sorted(sizes, key=lambda b: abs(math.log2(b / default)))
        if not near:
            return (
                Choice(batch_size=self._job.fallback, as_found=True) if self._job.settings.recurring else None
            )
        waiting = [b for b in near if b not in flying] if not self._job.settings.recurring else near
        if not waiting:
            return None
        return Choice(batch_size=waiting[0], probe_limits_w=probes(self._job, waiting[0], gpu, math.inf))

    def _best(self, outlook: Outlook, also: Iterable[int] = ()) -> int:
        """The cheapest batch size that has reached the target, or is among ``also``."""
        candidates = {*self._memory.reached, *also}
        known = np.array([size in candidates for size in outlook.sizes])
        return int(np.argmin(np.where(known, outlook.cost, np.inf)))

    def _worth(self, outlook: Outlook, best: int) -> value.Array:
        fails = self._memory.fails(outlook.sizes)
        return worth.of_trying(outlook, best, fails, self._job.settings)

    # --- when to stop ----------------------------------------------------------------------------

    def should_stop(self, progress: Progress, curve: Curve) -> StopReason | None:
        """Compare what this run still takes with a fresh run of the best known."""
        spent = self._job.cost(progress.measurement)
        if spent > progress.knobs.cost_cap:
            return StopReason.COST_CAP
        if not self._something_works:
            return None
        outlook = self._look(progress.gpu)
        column = outlook.column(progress.knobs.batch_size)
        if column is None or not outlook.cost.size:
            return None
        best = self._best(outlook)
        if progress.knobs.batch_size in self._checking:
            checked = spent >= outlook.cost[best] or self._disappoints(outlook, column, best, curve)
            return StopReason.NOT_WORTH_IT if checked else None
        if progress.epoch < 1:
            return self._after_profile(outlook, column, best, progress)
        expected = self._run_epochs(outlook, column, curve)
        dud = self._memory.dud(progress.knobs.batch_size)
        left, gain = worth.of_finishing(
            outlook, column, best, progress.epoch, expected=expected, dud=dud, settings=self._job.settings
        )
        return StopReason.NOT_WORTH_IT if left > outlook.cost[best] + gain else None

    def _after_profile(
        self, outlook: Outlook, column: int, best: int, progress: Progress
    ) -> StopReason | None:
        """The profile may say that it is not worth it after all. Once per batch size: it is known then."""
        probed = progress.knobs.power_limit_w is None and progress.knobs.probe_limits_w != ()
        if column == best or not probed or self._worth(outlook, best)[column] > 0:
            return None
        return StopReason.PROFILED

    def _run_epochs(self, outlook: Outlook, column: int, curve: Curve) -> tuple[float, float]:
        """Mean and standard deviation of log epochs of a run that has shown ``curve``."""
        return of_run(outlook.epochs, column, outlook.noise, self._forecast(curve))

    def _disappoints(self, outlook: Outlook, column: int, best: int, curve: Curve) -> bool:
        """Whether the learning curve alone, not what was believed, says that the best costs less."""
        seen = self._forecast(curve)
        if seen is None:
            return False
        at_least = seen.log_epochs - math.sqrt(seen.var)
        return bool(at_least + outlook.epoch_cost.mean[column] > math.log(outlook.cost[best]))

    def _forecast(self, curve: Curve) -> Forecast | None:
        past = ((run.curve, run.epochs) for run in self._job.runs[-COMPARED:] if run.reached and run.curve)
        return forecast(curve, past, self._job.target)

    # --- what a run says -------------------------------------------------------------------------

    def learn(self, run: Run) -> None:
        """Remember log epochs; of a run that was stopped, what it should have needed."""
        epochs = run.epochs if run.epochs > 0 else 1.0
        self._checking.discard(run.batch_size)
        if run.stop != StopReason.PROFILED:
            self._owed = self._job.settings.recurring and not run.reached
        if run.reached:
            self._memory.reach(run.batch_size, epochs, self._expected(run, ()))
        elif run.stop in (StopReason.NOT_WORTH_IT, StopReason.COST_CAP):
            self._learn_stopped(run, epochs)
        elif run.stop != StopReason.PROFILED:
            self._memory.fail(run.batch_size)
        if self._something_works:
            self._look(run.gpu)  # here rather than when the next run is waited for

    def _learn_stopped(self, run: Run, epochs: float) -> None:
        """A run stopped after ``epochs`` would have needed more: what is expected given that."""
        expected = self._expected(run, run.curve)
        if expected is None or run.epochs < 1:
            self._memory.fail(run.batch_size)  # not even an epoch below the cap
            return
        log_mean, log_sd = expected
        beyond, _survives = value.mean_beyond(log_mean, log_sd, epochs)
        self._memory.stop(run.batch_size, math.log(beyond), log_sd**2)

    def _expected(self, run: Run, curve: Curve) -> tuple[float, float] | None:
        """Mean and standard deviation of log epochs of ``run`` by the others; None where there is none."""
        if not self._something_works:
            return None
        outlook = self._look(run.gpu)
        column = outlook.column(run.batch_size)
        return None if column is None else self._run_epochs(outlook, column, curve)

    @property
    def _something_works(self) -> bool:
        """Whether a batch size that fits in memory has reached the target."""
        return any(size in self._memory.reached for size in self._job.sizes)

    def _look(self, gpu: str) -> Outlook:
        """The outlook, made anew when something was learned, profiled or told."""
        job = self._job
        gpu = gpu or job.profiles.last_gpu
        made_of = (
            gpu,
            len(self._memory.observations),
            len(self._memory.reached),
            job.profiles.version,
            job.told,
            job.sizes,
        )
        if self._outlook is None or made_of != self._outlook_of:
            self._outlook, self._outlook_of = self._make(gpu, self._memory.observations), made_of
        return self._outlook

    def _expect_pending(self, outlook: Outlook, gpu: str) -> Outlook:
        """The outlook once the runs in flight are back as expected: what they tell is not sought twice."""
        flying = [knobs.batch_size for knobs in self._job.pending.values()]
        expected = [
            Observation(size, float(outlook.epochs.mean[column]), ALMOST_NONE, len(self._memory.observations))
            for size in flying
            if (column := outlook.column(size)) is not None
        ]
        if not expected:
            return outlook
        return self._make(gpu, [*self._memory.observations, *expected])

    def _make(self, gpu: str, observations: list[Observation]) -> Outlook:
        return look(
            self._job,
            gpu,
            observations,
            changed_at=self._memory.changed_at,
            failures=self._memory.failures,
            sizes=self._memory.running(self._job.sizes),
        )

    # --- the state -------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"memory": self._memory.state(), "owed": self._owed, "checking": sorted(self._checking)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._memory, self._owed = Memory.from_state(state["memory"]), state["owed"]
        self._checking, self._outlook = set(state["checking"]), None
