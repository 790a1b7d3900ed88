"""What the default policy believes of a job: its memory, and the outlook made of it.

Until something has reached the target, pieces of runs are only kept; then they are compared with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from zeus_ray.decide.curves import Curve, Forecast, at_least, forecast
from zeus_ray.decide.epochs import Observation, never, of_run
from zeus_ray.decide.job import Job, Run
from zeus_ray.decide.memory import Memory
from zeus_ray.decide.outlook import Outlook, look
from zeus_ray.decide.value import Array, mean_beyond
from zeus_ray.decide.worth import not_there_yet
from zeus_ray.records import StopReason

ALMOST_NONE = 1e-9
"""Extra variance of an expected observation: none, but it did not happen."""
COMPARED = 8
"""Learning curves of the newest this many runs are compared with."""


class Beliefs:
    """Learns from runs; answers what a batch size, or a run that is under way, should take."""

    def __init__(self, job: Job, memory: Memory | None = None) -> None:
        self.memory = memory or Memory()
        self._job = job
        self._outlook: Outlook | None = None
        self._outlook_of: tuple[Any, ...] = ()

    # --- of batch sizes --------------------------------------------------------------------------

    @property
    def something_works(self) -> bool:
        """Whether a batch size that fits in memory has reached the target."""
        return any(size in self.memory.reached for size in self._job.sizes)

    @property
    def running(self) -> tuple[int, ...]:
        """Batch sizes that have not failed."""
        return self.memory.running(self._job.sizes)

    @property
    def compared(self) -> set[int]:
        """Batch sizes that have run since one first reached the target: with something to compare with."""
        runs = self._job.runs
        first = next((i for i, run in enumerate(runs) if run.reached), len(runs))
        return {run.batch_size for run in runs[first:] if run.stop != StopReason.PROFILED}

    def fails(self, outlook: Outlook) -> Array:
        """Chance that each batch size never reaches the target."""
        return self.memory.fails(outlook.sizes, self._job.settings.default_batch_size)

    def look(self, gpu: str) -> Outlook:
        """The outlook, made anew when something was learned, profiled or told."""
        job, memory = self._job, self.memory
        gpu = gpu or job.profiles.last_gpu
        counts = (len(memory.observations), len(memory.reached), job.profiles.version, job.told)
        made_of = (gpu, *counts, job.sizes)
        if self._outlook is None or made_of != self._outlook_of:
            self._outlook, self._outlook_of = self.look_with(gpu, memory.observations), made_of
        return self._outlook

    def look_ahead(self, gpu: str) -> Outlook:
        """The outlook once the runs in flight are back as expected: what they tell is not sought twice."""
        now, seen = self.look(gpu), self.memory.observations
        expected = [
            Observation(knobs.batch_size, float(now.epochs.mean[column]), ALMOST_NONE, len(seen))
            for knobs in self._job.pending.values()
            if (column := now.column(knobs.batch_size)) is not None
        ]
        return self.look_with(gpu, [*seen, *expected]) if expected else now

    def look_with(self, gpu: str, observations: Sequence[Observation]) -> Outlook:
        """The outlook that these observations would give."""
        return look(
            self._job,
            gpu,
            observations,
            changed_at=self.memory.changed_at,
            failures=self.memory.failures,
            sizes=self.running,
        )

    # --- of a run --------------------------------------------------------------------------------

    def epochs(self, outlook: Outlook, column: int, curve: Curve) -> tuple[float, float]:
        """Mean and standard deviation of log epochs of a run that has shown ``curve``."""
        return of_run(outlook.epochs, column, outlook.noise, self.forecast(curve))

    def dud(self, outlook: Outlook, column: int, curve: Curve) -> float:
        """Chance that a run that has shown ``curve`` never reaches the target, whatever it takes."""
        size = outlook.sizes[column]
        prior = self.memory.dud(size)
        if size not in self.memory.reached:
            prior = max(prior, float(self.fails(outlook)[column]))
        most = self._job.settings.max_epochs
        curve_says = self.forecast(curve)
        return never(outlook.epochs, column, outlook.noise, curve_says, prior=prior, max_epochs=most)

    def forecast(self, curve: Curve) -> Forecast | None:
        """What a learning curve says by those of the newest runs."""
        past = ((run.curve, run.epochs) for run in self._job.runs[-COMPARED:] if run.reached and run.curve)
        return forecast(curve, past, self._job.target)

    # --- what a run says -------------------------------------------------------------------------

    def learn(self, run: Run) -> None:
        """Remember log epochs; of a run that was stopped, what it should have needed."""
        if run.stop == StopReason.PROFILED:
            return
        if run.reached:
            self._reached(run)
        elif run.stop == StopReason.NOT_WORTH_IT and not self.something_works:
            if self._stuck(run):  # else a piece, kept among the job's runs: nothing tells yet how far it was
                self.memory.stumble(run.batch_size, 1.0)
        elif run.stop in (StopReason.NOT_WORTH_IT, StopReason.COST_CAP):
            self._stopped(run)
        else:
            self.memory.fail(run.batch_size)

    def _reached(self, run: Run) -> None:
        first = not self.something_works
        self.memory.reach(run.batch_size, run.epochs if run.epochs > 0 else 1.0, self._expected(run, ()))
        for piece in self._job.runs if first else ():
            if piece.stop == StopReason.NOT_WORTH_IT:
                self._stopped(piece)

    def _stopped(self, run: Run) -> None:
        """A run that was stopped would have needed more: what is expected given that."""
        expected = self._expected(run, run.curve)
        if expected is None or not run.epochs >= 1:
            self.memory.fail(run.batch_size)  # not even an epoch below the cap
            return
        log_mean, log_sd = expected
        beyond, _survives = mean_beyond(log_mean, log_sd, run.epochs)
        outlook = self.look(run.gpu)
        curve_says = self.dud(outlook, outlook.sizes.index(run.batch_size), run.curve)
        _needed, dud = not_there_yet(expected, curve_says, run.epochs)
        self.memory.stumble(run.batch_size, 1.0 if self._stuck(run) else dud)
        self.memory.stop(run.batch_size, math.log(beyond), log_sd**2)

    def _stuck(self, run: Run) -> bool:
        """Whether a run would not have been there in time at its own pace."""
        return at_least(run.curve, run.epochs, self._job.target) > self._job.settings.max_epochs

    def _expected(self, run: Run, curve: Curve) -> tuple[float, float] | None:
        """Mean and standard deviation of log epochs of ``run`` by the others; None where there is none."""
        if not self.something_works:
            return None
        outlook = self.look(run.gpu)
        column = outlook.column(run.batch_size)
        return None if column is None else self.epochs(outlook, column, curve)
