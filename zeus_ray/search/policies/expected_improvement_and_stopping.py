"""The default policy: expected improvement over partial runs, given up by optimal stopping.

The default batch size runs first, to its end. Then, each time:

1. Every size that has neither finished nor been stopped has a worth (W1): expected improvement on the best
   size, for the uses it counts for, over what a run that fails costs until that is seen. The largest above 1
   runs, if a plan of it pays that the exploration budget covers besides one run of the best size.
2. If there is none, the best size runs (of near ties the one that ran less often).
3. A run of a size that has not finished is given up as soon as no plan to go on pays (A1).
4. A run of a size that has is given up where it takes far longer than its runs ever did.

See docs/how_it_works/search.md for the derivation, and benchmarks/REGRET.md for what chose the constants:
where none is named, Bayesian optimisation on half a, jobs made from it, and NSDI'23's six pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeus_ray.records import STOPPED_BY_SEARCH, Progress, StopReason
from zeus_ray.search.models.cost_model import CostModel, Stopped, cost_model, references
from zeus_ray.search.models.epochs_change_point import DriftDetector
from zeus_ray.search.models.learning_curve import Array, Curve, Reference
from zeus_ray.search.models.value_of_starting_and_continuing import expected_improvement, value_of_continuing
from zeus_ray.search.policies.policy import Choice, Policy
from zeus_ray.search.probe_limits import limits_to_probe
from zeus_ray.search.state import CompletedRun, SearchState

USES_SHARE, USES_LEAST = 0.17, 0.5
"""An improvement counts for this share of the runs to come (at least USES_LEAST of the horizon): jobs end,
and forecasts err."""
PARTIAL_EPOCHS, PARTIAL_SHARE = 4.0, 0.15
"""A run that fails is seen to fail after this many epochs, or this share of a run of the best size."""
SUCCESS_DISCOUNT, LEAST_PRICE = 0.9, 0.08
"""Share of the price that a run which succeeds does not cost, since it replaces one of the best size; and
the least price, in runs of the best size."""
DISTANCE_DISCOUNT = 0.15
"""Worth falls with exp(−this) for every octave beyond the first from the nearest size that finished: the
forecast errs more with distance, and a near size that finishes saves what pays for a far one."""
GO_ON = 0.7
"""Worth below which a run ends once its profile is known: below 1, since the profile has been paid for."""
FINISH = 1.3
"""A run that gets there replaces one of the best size, and brings a curve to compare with besides."""
COST_LIMIT = 1.5
"""A run of a size that has not finished never costs more than this many runs of the best."""
OVERDUE, OVERDUE_SD, OVERDUE_SCATTER = 2.0, 3.5, 0.12
"""A run of a known size is overdue at this many times its longest, and this many deviations (at least of
this scatter) above the mean of its runs."""
LEAST_PRECISION = 1.0
"""Of what a stopped run says of log epochs, where its posterior is wider than its prior was."""


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
        size = self._to_explore(model, gpu)
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

    def _to_explore(self, model: CostModel, gpu: str = "") -> int | None:
        pending = {knobs.batch_size for knobs in self._state.pending.knobs.values()}
        worth = np.where(np.isin(model.sizes, list(pending)), 0.0, self._worth(model))
        for i in map(int, np.argsort(-worth)):
            if worth[i] <= 1:
                return None
            size = model.sizes[i]
            if self._state.may_begin_exploring(size, gpu) and self._plan_pays(model, size):
                return size
        return None

    def _worth(self, model: CostModel) -> Array:
        """Expected improvement × uses / price, by size; 0 for sizes that finished or are left alone."""
        best = model.means[self._best(model)]
        costs = np.exp(model.log_grid) * model.epoch_costs[:, None]
        left = self._payable(model)
        payable = np.where((costs <= left) & self._in_time(model), model.probability, 0.0)
        gain = expected_improvement(payable, model.never, costs, best)
        succeeds = (1 - model.never) * np.where(costs <= min(left, best), model.probability, 0.0).sum(axis=1)
        price = np.maximum(PARTIAL_SHARE * best, PARTIAL_EPOCHS * model.epoch_costs)
        price = np.maximum(LEAST_PRICE * best, price * (1 - SUCCESS_DISCOUNT * succeeds))
        worth = gain * self._uses() / price * np.exp(-DISTANCE_DISCOUNT * model.octaves_beyond_first())
        return np.where(np.isin(model.sizes, [*model.finished, *self._stopped]), 0.0, worth)

    def _in_time(self, model: CostModel) -> NDArray[np.bool_]:
        """Whether a run of so many epochs would end in the time that is left [sizes, grid]."""
        left_s, profiles = self._state.remaining_time_s, self._state.profiles
        if left_s is None:
            return np.ones(model.probability.shape, dtype=bool)
        times = [(p := profiles.get(b)) and min(q.time_per_epoch_s for q in p.points) for b in model.sizes]
        known = [time_s for time_s in times if time_s]
        epoch_s = np.array([time_s or (min(known) if known else 0.0) for time_s in times])
        return np.asarray(np.exp(model.log_grid) * epoch_s[:, None] <= left_s)

    def _plan_pays(self, model: CostModel, size: int) -> bool:
        """Whether a plan from the start of a run has a value, even if its curve says nothing."""
        i = model.column(size)
        cost = float(model.epoch_costs[i])
        return self._value(model, model.probability[i], float(model.never[i]), epoch_cost=cost) > 0

    def _best(self, model: CostModel) -> int:
        return model.ranked()[0]

    def _usual(self, model: CostModel) -> int:
        """The best size whose run the exploration budget can pay for, or the default."""
        left, default = self._state.exploration_left_j(), self._state.fallback
        return next((b for b in model.ranked() if b == default or model.means[b] <= left), default)

    def _payable(self, model: CostModel, run_id: str = "") -> float:
        """What an exploring run may cost (J), once a run of the best size is reserved."""
        usual = self._usual(model)
        reserved_j = 0.0 if usual == self._state.fallback else model.means[usual]
        return self._state.exploring_run_may_cost_j(run_id) - reserved_j

    def _uses(self) -> float:
        """Runs that an improvement counts for."""
        settings = self._state.settings
        done = sum(run.reached for run in self._state.runs) if settings.recurring else 0
        left = max(settings.horizon_runs - done, USES_LEAST * settings.horizon_runs)
        return USES_SHARE * left

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
            return StopReason.NOT_WORTH_IT if self._worth(model)[i] < GO_ON else None
        return StopReason.NOT_WORTH_IT if self._gives_up(model, progress, curve) else None

    def _gives_up(self, model: CostModel, progress: Progress, curve: Curve) -> bool:
        """Whether no plan to continue a run of an unfinished size has a value (A1).

        Not before the share of a run that exploring it was priced at has been spent: until then the curve has
        shown too little. Always beyond COST_LIMIT runs of the best size.
        """
        size, epoch = progress.knobs.batch_size, progress.epoch
        best, epoch_cost = model.means[self._best(model)], self._epoch_cost(model, progress)
        spent = epoch * epoch_cost
        if spent < PARTIAL_SHARE * best or spent > COST_LIMIT * best:
            return bool(spent > COST_LIMIT * best)
        compared = self._compared(self._best(model))
        probability, never = model.of_run(size, curve, epoch, compared, self._state)
        run_id = progress.knobs.run_id
        return self._value(model, probability, never, epoch_cost=epoch_cost, epoch=epoch, run_id=run_id) <= 0

    def _epoch_cost(self, model: CostModel, progress: Progress) -> float:
        """Cost (J) of an epoch of a run under way: profiled, or as it has cost so far, or predicted."""
        profiled = self._state.epoch_cost(progress.knobs.batch_size, progress.gpu)
        measured = self._state.cost(progress.measurement) / progress.epoch
        predicted = float(model.epoch_costs[model.column(progress.knobs.batch_size)])
        return next((cost for cost in (profiled, measured) if 0 < cost < math.inf), predicted)

    def _value(
        self,
        model: CostModel,
        probability: Array,
        never: float,
        *,
        epoch_cost: float,
        epoch: float = 0.0,
        run_id: str = "",
    ) -> float:
        """A1 of a run with this posterior; ``run_id``: "" of one that has not begun."""
        return value_of_continuing(
            probability,
            never,
            np.exp(model.log_grid),
            now=epoch,
            epoch_cost=epoch_cost,
            best=model.means[self._best(model)],
            uses=self._uses(),
            finish=FINISH,
            most=self._payable(model, run_id),
        )

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
        precision, pull = _observation(model.log_grid, probability, prior)
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
            state.baseline,
            state.profiles.version,
            state.sizes,
            len(self._stopped),
        )
        if self._made[0] != key:
            self._made = key, cost_model(state, gpu, self._stopped, self._drift.since, STOPPED_BY_SEARCH)
        return self._made[1]

    def _compared(self, size: int) -> list[Reference]:
        key = (size, len(self._state.runs), self._state.baseline)
        if self._references[0] != key:
            self._references = key, references(self._state, size)
        return self._references[1]

    def cost_model(self) -> CostModel | None:
        """With what partial runs have shown."""
        return self._model("")

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        stopped = [[size, s.log_epochs, s.var, s.never] for size, s in self._stopped.items()]
        return {"stopped": stopped, "drift": self._drift.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._stopped = {size: Stopped(*rest) for size, *rest in state["stopped"]}
        self._drift.restore(state["drift"])
        self._made, self._references = (None, None), (None, [])


def _observation(log_grid: Array, posterior: Array, prior: Array) -> tuple[float, float]:
    """Precision, and precision × mean, of the Gaussian observation that takes the prior to the posterior."""
    (mean, var), (mean_0, var_0) = _moments(log_grid, posterior), _moments(log_grid, prior)
    precision = max(1 / var - 1 / var_0, LEAST_PRECISION)
    return precision, precision * mean + (mean - mean_0) / var_0


def _moments(log_grid: Array, probability: Array) -> tuple[float, float]:
    mean = float(probability @ log_grid)
    return mean, max(float(probability @ (log_grid - mean) ** 2), 0.01)
