"""The default policy: try what is worth its price, stop what is not.

The default batch size begins, and is left where its first epochs say that another promises more
(``race``). Once one has reached the target, each batch size has an expected cost and an uncertainty
(``outlook``). Trying one is worth the saving it promises, times the runs still to come; its price is
what the trial is expected to cost more than a run of the best known batch size. The one with the
largest net worth runs; where none has any, the best known does.

A run ends early when what it is still expected to take exceeds the cost of a fresh run of the best
known batch size plus what finishing could still save later; in a search that ends nobody waits for its
run, and only what finishing could save counts. Right after its profile it is asked too, so that a batch
size whose epochs turn out dear costs seconds.

Missing values: a run whose epochs are not known counts as one epoch; cost goes by time where energy
is not known. Without any of them the run is a failure of its batch size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from zeus_ray.decide import value, worth
from zeus_ray.decide.beliefs import Beliefs
from zeus_ray.decide.curves import Curve
from zeus_ray.decide.job import Choice, Job, Run
from zeus_ray.decide.memory import Memory
from zeus_ray.decide.outlook import Outlook
from zeus_ray.decide.probing import probes
from zeus_ray.decide.race import Race
from zeus_ray.records import Progress, StopReason

CHECK_AFTER = 10
"""After this many runs in a row of the best known, an untried neighbour may have one that long."""


class Frugal:
    """Policy "zeus-ray". What it knows is in its beliefs and in the job's profiles."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._beliefs = Beliefs(job)
        self._race = Race(job)
        self._checking: set[int] = set()
        """Batch sizes that run only to see whether the beliefs are right."""
        self._owed = False
        """A run of a recurring job was stopped: the job is still to be done, now by the best known."""

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
        if self._racing:
            return self._choose_in_race(gpu)
        if not self._beliefs.something_works:
            return self._first(gpu)
        outlook = self._beliefs.look_ahead(gpu)
        best, flying = self._best(outlook), self._flying
        net = self._worth(outlook, self._best(outlook, flying))
        net[np.isin(outlook.sizes, flying)] = -np.inf  # wait for what it says before it is run again
        tried = int(np.argmax(net))
        if self._owed:
            tried = best
        elif net[tried] <= 0:
            tried = best if flying and not self._job.settings.recurring else self._check(outlook, best, net)
            if tried == best and not self._job.settings.recurring:
                return None
        cap = self._job.settings.beta * max(float(outlook.cost[best]), float(outlook.cost[tried]))
        return self._run(outlook, tried, cap, gpu)

    def _check(self, outlook: Outlook, best: int, net: value.Array) -> int:
        """The best known, or a neighbour of it that was never compared, because beliefs may be wrong.

        Now and then where the job recurs; before a search ends, whose answer is used for long.
        """
        seen = [observation.batch_size for observation in self._beliefs.memory.observations]
        settled = len(seen) >= CHECK_AFTER and set(seen[-CHECK_AFTER:]) == {outlook.sizes[best]}
        if self._job.settings.recurring and not settled:
            return best
        compared = self._beliefs.compared
        columns = (i for i in (best - 1, best + 1) if 0 <= i < len(outlook.sizes))
        waiting = [i for i in columns if outlook.sizes[i] not in compared and np.isfinite(net[i])]
        if not waiting:
            return best
        column = max(waiting, key=net.__getitem__)
        self._checking.add(outlook.sizes[column])
        return column

    def _run(self, outlook: Outlook, column: int, cap: float, gpu: str) -> Choice:
        size = outlook.sizes[column]
        epochs = float(np.exp(outlook.epochs.mean[column]))
        limits = probes(self._job, size, gpu, epochs * self._job.settings.horizon_runs)
        return Choice(batch_size=size, cost_cap=cap, probe_limits_w=limits)

    def _first(self, gpu: str) -> Choice | None:
        """Nothing has shown anything yet: the default; should it fail, its nearest neighbours."""
        default, recurring = self._job.settings.default_batch_size, self._job.settings.recurring
        sizes = [b for b in self._job.sizes if not self._beliefs.memory.failures.get(b)]
        near = sorted(sizes, key=lambda b: abs(math.log2(b / default)))
        if not near:
            return Choice(batch_size=self._job.fallback, as_found=True) if recurring else None
        if self._flying and not recurring:
            return None  # its first epoch says which others are worth one
        return Choice(batch_size=near[0], probe_limits_w=probes(self._job, near[0], gpu, math.inf))

    def _choose_in_race(self, gpu: str) -> Choice | None:
        outlook = self._beliefs.look_with(gpu, self._race.observations())
        column = self._race.choose(outlook, self._beliefs.fails(outlook), self._flying)
        return None if column is None else self._run(outlook, column, math.inf, gpu)

    @property
    def _racing(self) -> bool:
        """Nothing has reached the target yet, but the default has shown how it learns."""
        default = self._job.settings.default_batch_size
        works = self._beliefs.something_works
        return not works and self._race.begun and default in self._beliefs.running

    @property
    def _flying(self) -> list[int]:
        return [knobs.batch_size for knobs in self._job.pending.values()]

    def _best(self, outlook: Outlook, also: Iterable[int] = ()) -> int:
        """The cheapest batch size that has reached the target, or is among ``also``."""
        candidates = {*self._beliefs.memory.reached, *also}
        known = np.array([size in candidates for size in outlook.sizes])
        return int(np.argmin(np.where(known, outlook.cost, np.inf)))

    def _worth(self, outlook: Outlook, best: int) -> value.Array:
        return worth.of_trying(outlook, best, self._beliefs.fails(outlook), self._job.settings)

    # --- when to stop ----------------------------------------------------------------------------

    def should_stop(self, progress: Progress, curve: Curve) -> StopReason | None:
        """At the cap; where another promises more; what costs more than it may bring."""
        spent = self._job.cost(progress.measurement)
        if spent > progress.knobs.cost_cap:
            return StopReason.COST_CAP
        if self._racing:
            return self._leave(progress)
        if not self._beliefs.something_works:
            return None
        outlook = self._beliefs.look(progress.gpu)
        column = outlook.column(progress.knobs.batch_size)
        return None if column is None else self._compare(outlook, column, spent, progress, curve)

    def _compare(
        self, outlook: Outlook, column: int, spent: float, progress: Progress, curve: Curve
    ) -> StopReason | None:
        """Whether a fresh run of the best known would be cheaper, or this run has shown enough."""
        best = self._best(outlook)
        if progress.knobs.batch_size in self._checking:
            checked = spent >= outlook.cost[best] or self._disappoints(outlook, column, best, curve)
            return StopReason.NOT_WORTH_IT if checked else None
        if progress.epoch < 1:
            return self._after_profile(outlook, column, best, progress)
        left, gain = worth.of_finishing(
            outlook,
            column,
            best,
            progress.epoch,
            expected=self._beliefs.epochs(outlook, column, curve),
            dud=self._beliefs.dud(outlook, column, curve),
            settings=self._job.settings,
        )
        fresh = outlook.cost[best] if self._job.settings.recurring else 0.0
        return StopReason.NOT_WORTH_IT if left > fresh + gain else None

    def _leave(self, progress: Progress) -> StopReason | None:
        """Whether another batch size promises more, before any has reached the target."""
        profiling = progress.epoch < 1
        if profiling and not _probed(progress):
            return None
        running = (progress.knobs.batch_size, progress.epoch)
        outlook = self._beliefs.look_with(progress.gpu, self._race.observations(running))
        column = outlook.column(progress.knobs.batch_size)
        fails = self._beliefs.fails(outlook)
        if column is None or not self._race.leaves(outlook, fails, column, progress):
            return None
        return StopReason.PROFILED if profiling else StopReason.NOT_WORTH_IT

    def _after_profile(
        self, outlook: Outlook, column: int, best: int, progress: Progress
    ) -> StopReason | None:
        """The profile may say that it is not worth it after all. Once per batch size: it is known then."""
        if column == best or not _probed(progress) or self._worth(outlook, best)[column] > 0:
            return None
        return StopReason.PROFILED

    def _disappoints(self, outlook: Outlook, column: int, best: int, curve: Curve) -> bool:
        """Whether the learning curve alone, not what was believed, says that the best costs less."""
        seen = self._beliefs.forecast(curve)
        if seen is None:
            return False
        at_least = seen.log_epochs - math.sqrt(seen.var)
        return bool(at_least + outlook.epoch_cost.mean[column] > math.log(outlook.cost[best]))

    # --- what a run says -------------------------------------------------------------------------

    def learn(self, run: Run) -> None:
        """Remember what a run says, and what is owed after it."""
        self._checking.discard(run.batch_size)
        if run.stop != StopReason.PROFILED:
            self._owed = self._job.settings.recurring and not run.reached
        self._beliefs.learn(run)
        if self._beliefs.something_works:
            self._beliefs.look(run.gpu)  # here rather than when the next run is waited for

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        memory = self._beliefs.memory.state()
        return {"memory": memory, "owed": self._owed, "checking": sorted(self._checking)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._beliefs = Beliefs(self._job, Memory.from_state(state["memory"]))
        self._owed, self._checking = state["owed"], set(state["checking"])


def _probed(progress: Progress) -> bool:
    """Whether this run began with probes."""
    return progress.knobs.power_limit_w is None and progress.knobs.probe_limits_w != ()
