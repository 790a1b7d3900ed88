"""Before any batch size has reached the target: go on with the run, or go over to another batch size?

The default runs first, but need not run to its end: it may cost several times the best. Two runs of a
job go through the same metric values, so the epochs at which both showed the same one tell how many
epochs one takes relative to the other; what an epoch costs is known from its profile. How many epochs
there will be in all nobody knows: between those that the default had and the most allowed, all orders
of magnitude alike.

To stay costs what the run still takes. To leave costs a fresh run of the cheapest batch size known, less
what trying another may save. What was left is come back to once; the default in any case.

Several at once, in a search that ends: batch sizes are looked at side by side, and one of them is finished.
Another that is under way costs only the rest of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from zeus_ray.decide.curves import Curve, at_least, relative
from zeus_ray.decide.epochs import Observation
from zeus_ray.decide.job import Job
from zeus_ray.decide.outlook import Outlook
from zeus_ray.decide.value import Array, expected_saving, mean_beyond
from zeus_ray.records import Progress, StopReason

LOOKS = 2.0
"""Epochs that a run needs to show where it goes,"""
LOOKS_VAR = 0.45
"""and the variance of log epochs that is left then."""
LOOKED_AT, TWICE = 4, 2
"""Nothing new is looked at after this many pieces; what was left this often is not come back to."""
MOSTLY_PAID = 0.5
"""Share of the first epoch from which on a run, whose profile took that long, goes on to its first look."""
ALMOST_NONE = 1e-9
"""Variance of what only fixes the scale."""


class Race:
    """Compares batch sizes by the pieces of runs that there are."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._default = job.settings.default_batch_size

    @property
    def begun(self) -> bool:
        """Whether the default has shown what it costs, and something that others can be compared with."""
        return self._job.epoch_cost(self._default) > 0 and self._default in self._pieces()

    def observations(self, running: tuple[int, float] = (0, 0.0)) -> list[Observation]:
        """Log epochs of every batch size that has shown something, on the scale of the default.

        ``running``: (batch size, epoch) of a run whose curve may have stood still since.
        """
        pieces, (level, _sd) = self._pieces(), self._level()
        seen = [Observation(self._default, level, ALMOST_NONE, 0)]
        for size, (curve, epochs) in pieces.items():
            at = running[1] if size == running[0] else epochs
            seen_as = relative(curve, at, pieces[self._default][0], self._job.target, level)
            if size != self._default and seen_as is not None:
                seen.append(Observation(size, level + seen_as.log_epochs, seen_as.var, len(seen)))
        return seen

    def choose(self, outlook: Outlook, fails: Array, flying: Sequence[int]) -> int | None:
        """Column of what to run next: a batch size worth a look, or the cheapest known; None: wait."""
        fresh = self._fresh(outlook, 1.0)
        cheapest = int(np.argmin(np.where(self._open(outlook), fresh, np.inf)))
        gain = self._gain(outlook, fails, fresh, float(fresh[cheapest]))
        gain[np.isin(outlook.sizes, flying)] = 0.0
        tried = int(np.argmax(gain))
        if gain[tried] > 0:
            return tried
        return None if flying and not self._job.settings.recurring else cheapest

    def leaves(self, outlook: Outlook, fails: Array, column: int, progress: Progress) -> bool:
        """Whether the run of ``column`` should end for another."""
        size, left, epoch = outlook.sizes[column], self._left(), progress.epoch
        if size in left and epoch <= max(left[size]):
            return False  # nothing new since it was left
        if size not in self._pieces():
            if not self._job.settings.recurring:
                return not self._worth_a_look(outlook, fails, column)
            if MOSTLY_PAID <= epoch <= 1:
                return False
        if size == self._default and len(left.get(size, ())) >= TWICE:
            return False
        takes, dud, longer = self._to_go(outlook, fails, column, epoch)
        fresh = self._less_in_flight(outlook, self._fresh(outlook, longer), progress)
        others = self._open(outlook)
        others[column] = False
        other = float(fresh[others].min(initial=math.inf))
        if others.any():
            if size != self._default and self._hopeless(size, epoch):
                return True  # the default has worked for somebody: a metric in coarse steps may stand still
            takes = self._another_look(outlook, column, takes + dud * other, other)
        again = takes + epoch * float(outlook.one_epoch[column])
        gain = self._gain(outlook, fails, fresh, min(again, other)) * (size not in left)
        gain[column] = 0.0
        return bool(min(other, min(again, other) - gain.max()) < takes)

    def _worth_a_look(self, outlook: Outlook, fails: Array, column: int) -> bool:
        """Whether a batch size that has shown nothing yet should, now that its profile is known."""
        fresh = self._fresh(outlook, 1.0)
        cheapest = float(fresh[self._open(outlook)].min(initial=math.inf))
        return bool(self._gain(outlook, fails, fresh, cheapest)[column] > 0)

    def _to_go(self, outlook: Outlook, fails: Array, column: int, epoch: float) -> tuple[float, float, float]:
        """Of a run at ``epoch``: cost (J) to its end, chance that it never gets there, factor on all epochs.

        That it is not there yet says so of all batch sizes, as far as it is not its own.
        """
        own_var, level_var = outlook.epochs.var[column] + outlook.noise[column] ** 2, self._level()[1] ** 2
        log_mean, log_sd = float(outlook.epochs.mean[column]), math.sqrt(own_var + level_var)
        needed, survives = mean_beyond(log_mean, log_sd, epoch)
        dud = fails[column] / (fails[column] + (1 - fails[column]) * survives)
        ends = max(needed, min(self._job.settings.max_epochs, 2 * math.exp(log_mean) + epoch))
        longer = (needed / math.exp(log_mean + log_sd**2 / 2)) ** (level_var / (own_var + level_var))
        takes = ((1 - dud) * needed + dud * ends - epoch) * float(outlook.one_epoch[column])
        return float(takes), float(dud), float(longer)

    def _hopeless(self, size: int, epoch: float) -> bool:
        """Whether a run would not be there in time even if it went on learning as fast as of late."""
        curve, _epochs = self._pieces().get(size, ((), 0.0))
        return at_least(curve, epoch, self._job.target) > self._job.settings.max_epochs

    def _another_look(self, outlook: Outlook, column: int, takes: float, than: float) -> float:
        """Cost (J) of going on: to the end, or for an epoch and then of the better of this and another."""
        saving = expected_saving(np.array([takes]), _learned_sd(outlook)[[column]], than)[0]
        return min(takes, than + float(outlook.one_epoch[column]) - float(saving))

    def _gain(self, outlook: Outlook, fails: Array, fresh: Array, than: float) -> Array:
        """What a try of each batch size may save now (J); 0 where a try pays in no number of runs to come.

        Its price would be paid later if not now, so that it counts only for whether there is a try.
        """
        saving = (1 - fails) * expected_saving(fresh, _learned_sd(outlook), than)
        price = LOOKS * outlook.one_epoch + fails * np.minimum(fresh, than)
        pays = saving * self._job.settings.horizon_runs > price
        looks = sum(map(len, self._left().values()))
        new = ~np.isin(outlook.sizes, list(self._pieces())) & (looks < LOOKED_AT)
        return np.where(pays & new, saving, 0.0)

    def _open(self, outlook: Outlook) -> npt.NDArray[np.bool_]:
        """Which batch sizes can be come back to: not hopeless, and left once at most; or the default."""
        left = self._left()
        known = [
            size
            for size, (_curve, epoch) in self._pieces().items()
            if size == self._default or (len(left.get(size, ())) < TWICE and not self._hopeless(size, epoch))
        ]
        return np.isin(outlook.sizes, known)

    def _fresh(self, outlook: Outlook, longer: float) -> Array:
        """Expected cost (J) of a whole run of each batch size."""
        return outlook.cost * math.exp(self._level()[1] ** 2 / 2) * longer

    def _less_in_flight(self, outlook: Outlook, fresh: Array, progress: Progress) -> Array:
        """What it takes to finish each batch size, of which a run may be under way."""
        if self._job.settings.recurring:
            return fresh  # each run in flight is a recurrence of its own
        left = fresh.copy()
        for run, size, epoch in self._job.flights.under_way():
            column = outlook.column(size)
            if run != progress.knobs.run_id and column is not None:
                spent = epoch * float(outlook.one_epoch[column])
                left[column] = min(left[column], max(fresh[column] - spent, float(outlook.one_epoch[column])))
        return np.asarray(left)

    def _level(self) -> tuple[float, float]:
        """Mean and standard deviation of log epochs of the default: no less than any run had, to scale."""
        pieces = self._pieces()
        theirs, epoch = pieces[self._default]
        low, high = math.log(max(1.0, epoch)), math.log(max(2.0, self._job.settings.max_epochs))
        for curve, epochs in pieces.values():
            seen_as = relative(curve, epochs, theirs, self._job.target, low)
            if seen_as is not None:
                low = max(low, min(high, math.log(epochs) - seen_as.log_epochs))
        return (low + high) / 2, max(0.0, high - low) / math.sqrt(12)

    def _pieces(self) -> dict[int, tuple[Curve, float]]:
        """The longest learning curve of each batch size that has shown anything, and its epochs."""
        longest: dict[int, tuple[Curve, float]] = {}
        for size, curve, epochs in self._job.curves():
            if epochs > longest.get(size, ((), 0.0))[1]:
                longest[size] = (curve, epochs)
        return longest

    def _left(self) -> dict[int, list[float]]:
        """At which epochs each batch size was left that was."""
        left: dict[int, list[float]] = {}
        for run in self._job.runs:
            if run.stop == StopReason.NOT_WORTH_IT:
                left.setdefault(run.batch_size, []).append(run.epochs)
        return left


def _learned_sd(outlook: Outlook) -> Array:
    """How far a look may move the expected log cost of each batch size."""
    return np.asarray(outlook.var / np.sqrt(outlook.var + LOOKS_VAR))
