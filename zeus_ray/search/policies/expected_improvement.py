"""The default policy: expected improvement over partial runs, given up by optimal stopping.

The default batch size runs first, to its end. Then, each time:

1. Every size that has not finished has a worth: expected improvement on the best size, for the uses it counts
   for, over the price of the part of a run that shows whether it comes true. The largest above 1 runs.
2. If there is none, the best size runs (of near ties the one that ran less often).
3. A run of a size that has not finished is given up as soon as no plan to go on pays (A1).
4. A run of a size that has is given up where it takes far longer than its runs ever did.

The exploration budget enters twice: a plan that it cannot pay for is none, and one run of the best size stays
reserved. See docs/search.md for the derivation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeus_ray.records import Progress, StopReason
from zeus_ray.search.models.acquisition import improvement, value_of_continuing
from zeus_ray.search.models.cost_model import CostModel, Stopped, cost_model, references
from zeus_ray.search.models.drift import DriftDetector
from zeus_ray.search.models.learning_curve import Array, Curve, Reference
from zeus_ray.search.policies.base import Choice, Policy
from zeus_ray.search.probe_limits import limits_to_probe
from zeus_ray.search.state import CompletedRun, SearchState

STOPPED_BY_SEARCH = (StopReason.NOT_WORTH_IT, StopReason.PROFILED, StopReason.COST_CAP)
"""Ends that the search chose: the batch size did not fail."""
USES_SHARE, USES_LEAST = 0.15, 0.5
"""An improvement counts for this share of the runs to come (at least USES_LEAST of the horizon): jobs end,
and forecasts err."""
ONCE_SHARE = 0.5
LOOK_SHARE, LOOK_EPOCHS, START_SHARE = 0.75, 3.0, 0.3
"""Price of exploring a size, in runs of the best: START_SHARE, and LOOK_SHARE (at least LOOK_EPOCHS epochs) times the
chance that it turns out no better."""
AFFORDABLE = 0.6
"""A size is explored once the budget can pay for this share of the runs that would improve on the best; until then the
best size runs, and savings refill the budget."""
GO_ON = 0.7
"""Share of the threshold below which a run ends once its profile is known: below 1, since the profile has been
paid for."""
FINISH = 1.1
"""A run that gets there replaces one of the best size, and brings a curve to compare with besides."""
COST_LIMIT = 1.1
"""A run of a size that has not finished never costs more than this many runs of the best."""
OVERDUE, OVERDUE_SD, OVERDUE_SCATTER = 2.0, 3.5, 0.12
"""A run of a known size is overdue at this many times its longest, and this many deviations (at least of
this scatter) above the mean of its runs."""
THRESHOLD_LEAST = 0.2
"""The threshold falls with the budget that savings have refilled, to this."""
RESERVE_SD = 1.5
"""A size other than the default runs only where the budget can pay for this many deviations above its mean cost."""
LEAST_PRECISION = 1.0
"""Of what a stopped run says of log epochs: it never says less than nothing."""


class ExpectedImprovement(Policy):
    """Sizes that finished are known by their runs; the others by the cost model and their partial runs."""

    name = "zeus-ray"

    def bind(self, state: SearchState) -> None:
        """Attach to a search."""
        super().bind(state)
        self._stopped: dict[int, Stopped] = {}
        self._drift = DriftDetector()
        self._made: tuple[Any, CostModel | None] = (None, None)
        self._references: tuple[Any, list[Reference]] = (None, [])

    # --- what to run -----------------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether no size is worth exploring (or none is left untried, where none reaches the target)."""
        model = self._model("")
        return not self._untried() if model is None else self._to_explore(model) is None

    def choose(self, gpu: str) -> Choice | None:
        """The size worth most exploring, or the best one; see the module's docstring."""
        model = self._model(gpu)
        if model is None:
            return self._first()
        size = self._to_explore(model)
        if size is None and not self._state.settings.recurring:
            return None  # the search ends as soon as nothing is pending
        cap = math.inf if size is None else COST_LIMIT * model.means[self._best(model)]
        size = self._usual(model) if size is None else size
        epochs = self._uses() * model.means[self._best(model)] / model.epoch_costs[model.column(size)]
        probes = limits_to_probe(self._state, size, gpu, epochs)
        return Choice(batch_size=size, cost_cap=cap, probe_limits_w=probes)

    def _first(self) -> Choice | None:
        """Nothing has reached the target yet: the default, then outwards from it."""
        state, untried = self._state, self._untried()
        pending = {knobs.batch_size for knobs in state.pending.knobs.values()}
        if state.fallback in untried and state.fallback in pending and not state.settings.recurring:
            return None
        limits = state.settings.power_limits_w
        if not untried:
            return Choice(batch_size=state.fallback, as_found=True)
        nearest = min(untried, key=lambda b: abs(math.log2(b / state.fallback)))
        return Choice(batch_size=nearest, probe_limits_w=limits)

    def _untried(self) -> list[int]:
        failed = {run.batch_size for run in self._state.runs if not run.reached}
        return [size for size in self._state.sizes if size not in failed]

    def _to_explore(self, model: CostModel) -> int | None:
        """The size worth most, where it is worth more than the threshold and the budget can pay for it."""
        pending = {knobs.batch_size for knobs in self._state.pending.knobs.values()}
        worth = np.where(np.isin(model.sizes, list(pending)) | ~self._affordable(model), 0.0, self._worth(model))
        i = int(np.argmax(worth))
        return model.sizes[i] if worth[i] > self._threshold() else None

    def _worth(self, model: CostModel) -> Array:
        """Expected improvement × uses / price, by size; 0 for sizes that finished (W1)."""
        best = model.means[self._best(model)]
        gain, better = improvement(
            np.where(self._in_time(model), model.probability, 0.0), model.never, model.costs(), best
        )
        look = np.maximum(LOOK_SHARE * best, LOOK_EPOCHS * model.epoch_costs)
        worth = gain * self._uses() / ((1 - better) * look + START_SHARE * best)
        return np.where(np.isin(model.sizes, list(model.finished)), 0.0, worth)

    def _affordable(self, model: CostModel) -> NDArray[np.bool_]:
        """Whether the budget could pay for most runs that would improve on the best size."""
        costs, best, left_j = model.costs(), model.means[self._best(model)], self._state.exploration_left_j()
        better = np.where(costs <= best, model.probability, 0.0)
        return np.asarray((better * (costs <= left_j)).sum(axis=1) >= AFFORDABLE * better.sum(axis=1))

    def _threshold(self) -> float:
        """Worth above which a size is explored: 1, and less where savings have more than refilled the budget."""
        budget = self._state.budget
        left_j, first_j = self._state.exploration_left_j(), max(1.0, budget.budget) * budget.default_cost_j
        return min(1.0, max(first_j / left_j, THRESHOLD_LEAST)) if left_j > first_j else 1.0

    def _in_time(self, model: CostModel) -> NDArray[np.bool_]:
        """Whether a run of so many epochs would end in the time that is left [sizes, grid]."""
        left_s, profiles = self._state.remaining_time_s, self._state.profiles
        if left_s is None:
            return np.ones(model.probability.shape, dtype=bool)
        times = [(p := profiles.get(b)) and min(q.time_per_epoch_s for q in p.points) for b in model.sizes]
        known = [time_s for time_s in times if time_s]
        epoch_s = np.array([time_s or (min(known) if known else 0.0) for time_s in times])
        return np.asarray(np.exp(model.log_grid) * epoch_s[:, None] <= left_s)

    def _best(self, model: CostModel) -> int:
        return model.ranked()[0]

    def _usual(self, model: CostModel) -> int:
        """The best size whose run the exploration budget can pay for, or the default."""
        left_j, spread = self._state.exploration_left_j(), math.exp(RESERVE_SD * model.scatter)
        default = self._state.fallback
        return next((b for b in model.ranked() if b == default or model.means[b] * spread <= left_j), default)

    def _uses(self) -> float:
        """Runs that an improvement counts for."""
        settings, horizon = self._state.settings, self._state.settings.horizon_runs
        if not settings.recurring:
            return ONCE_SHARE * horizon
        left = horizon - sum(run.reached for run in self._state.runs)
        return USES_SHARE * max(left, USES_LEAST * horizon)

    # --- when to stop ----------------------------------------------------------------------------

    def should_stop(self, progress: Progress, curve: Curve) -> StopReason | None:
        """Give up what no plan pays for, and what is long overdue."""
        model, size, epoch = self._model(progress.gpu), progress.knobs.batch_size, progress.epoch
        if model is None or size not in model.sizes:
            return None
        if size in model.finished:
            return StopReason.NOT_WORTH_IT if self._overdue(model, size, epoch) else None
        i = model.column(size)
        if epoch < 1:
            return StopReason.NOT_WORTH_IT if self._worth(model)[i] < GO_ON * self._threshold() else None
        return StopReason.NOT_WORTH_IT if self._gives_up(model, progress, curve) else None

    def _gives_up(self, model: CostModel, progress: Progress, curve: Curve) -> bool:
        """Whether no plan to continue a run of an unfinished size has a value (A1), or it is dearer than COST_LIMIT."""
        size, epoch = progress.knobs.batch_size, progress.epoch
        epoch_cost, best = float(model.epoch_costs[model.column(size)]), model.means[self._best(model)]
        if epoch * epoch_cost > COST_LIMIT * best:
            return True
        probability, never = model.of_run(
            size, curve, epoch, self._compared(self._best(model)), self._state
        )
        value = value_of_continuing(
            probability,
            never,
            np.exp(model.log_grid),
            now=epoch,
            epoch_cost=epoch_cost,
            best=best,
            uses=self._uses(),
            finish=FINISH,
            most=self._state.exploration_left_j(progress.knobs.run_id),
        )
        return value <= 0

    def _overdue(self, model: CostModel, size: int, epoch: float) -> bool:
        """Whether a run of a size that has finished takes far longer than its runs ever did."""
        if size == self._state.fallback and len(model.finished) == 1:
            return False  # there is nothing else to run
        logs = model.finished[size]
        sd = max(model.scatter, OVERDUE_SCATTER) * math.sqrt(1 + 1 / len(logs))
        return epoch > max(OVERDUE * math.exp(logs.max()), math.exp(logs.mean() + OVERDUE_SD * sd)) + 1

    # --- learning --------------------------------------------------------------------------------

    def learn(self, run: CompletedRun) -> None:
        """Keep the posterior of a run that was stopped; look for a change in those that reached it."""
        size = run.batch_size
        if run.reached:
            self._look_for_change(run)
            self._model(run.gpu)  # here, so that nothing waits for it later
            return
        model = self._model(run.gpu)
        if model is None or size not in model.sizes or size in model.finished:
            return
        epoch = run.epochs if run.epochs > 0 else 0.0
        before = self._stopped.get(size)
        if run.stop in STOPPED_BY_SEARCH and epoch < 1:
            return  # it has shown what an epoch costs, and nothing else
        compared = self._compared(self._best(model))
        probability, never = model.of_run(size, run.curve, epoch, compared, self._state)
        prior, _never = model.of_run(size, (), 0.0, (), self._state)
        precision, pull = _site(model.log_grid, probability, prior)
        if before is not None:
            precision, pull = precision + 1 / before.var, pull + before.log_epochs / before.var
        never = never if run.stop in STOPPED_BY_SEARCH else max(never, 0.97)
        self._stopped[size] = Stopped(pull / precision, 1 / precision, never)
        self._made = (None, None)

    def _look_for_change(self, run: CompletedRun) -> None:
        runs = self._state.runs
        index = len(runs) - 1
        earlier = [
            math.log(r.epochs)
            for r in runs[max(self._drift.since, index - 200) : index]
            if r.reached and r.batch_size == run.batch_size and r.epochs > 0
        ]
        if not earlier or not run.epochs > 0:
            return
        model = self._made[1]
        scatter = max(model.scatter if model else 0.0, OVERDUE_SCATTER)
        if self._drift.observe(math.log(run.epochs), earlier, scatter, index):
            self._stopped.clear()

    def _model(self, gpu: str) -> CostModel | None:
        """The cost model, made anew when something was told or profiled."""
        state = self._state
        key = (
            gpu or state.profiles.last_gpu,
            len(state.runs),
            state.profiles.version,
            state.sizes,
            len(self._stopped),
        )
        if self._made[0] != key:
            self._made = key, cost_model(state, gpu, self._stopped, self._drift.since, STOPPED_BY_SEARCH)
        return self._made[1]

    def _compared(self, size: int) -> list[Reference]:
        key = (size, len(self._state.runs))
        if self._references[0] != key:
            self._references = key, references(self._state, size)
        return self._references[1]

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        stopped = [[size, s.log_epochs, s.var, s.never] for size, s in self._stopped.items()]
        return {"stopped": stopped, "drift": self._drift.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._stopped = {size: Stopped(*rest) for size, *rest in state["stopped"]}
        self._drift.restore(state["drift"])
        self._made, self._references = (None, None), (None, [])


def _site(log_grid: Array, posterior: Array, prior: Array) -> tuple[float, float]:
    """Precision, and precision times mean, of the Gaussian observation that takes the prior to the posterior."""
    (mean, var), (mean_0, var_0) = _moments(log_grid, posterior), _moments(log_grid, prior)
    precision = max(1 / var - 1 / var_0, LEAST_PRECISION)
    return precision, precision * mean + (mean - mean_0) / var_0


def _moments(log_grid: Array, probability: Array) -> tuple[float, float]:
    mean = float(probability @ log_grid)
    return mean, max(float(probability @ (log_grid - mean) ** 2), 0.01)
