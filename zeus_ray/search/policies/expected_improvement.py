"""The default policy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeus_ray.records import Progress, StopReason
from zeus_ray.search.models import acquisition, epoch_cost, epochs
from zeus_ray.search.models.learning_curve import Array, Curve, Reference, evidence
from zeus_ray.search.policies.base import Choice, Policy
from zeus_ray.search.state import CompletedRun, SearchState

GRID = 80
SCATTER = 0.08
HORIZON_SHARE = 0.2
PRICE = 0.15
LOOK_EPOCHS = 4.0
GO_ON = 0.7
FINISH_WORTH = 1.1
COST_LIMIT = 1.5
PRIOR_SCATTER, PRIOR_DOF = 0.12, 2.0
OVERDUE_SD = 3.5
OPTIMISM = 0.5
LOOKS = 2
OURS = (StopReason.NOT_WORTH_IT, StopReason.PROFILED, StopReason.COST_CAP)


@dataclass
class Stopped:
    """What partial runs of a size have shown: runs, posterior of log epochs, chance of never, cost (J)."""

    looks: int
    mean: float
    var: float
    never: float
    spent: float


@dataclass
class Outlook:
    sizes: list[int]
    log_cost: Array
    log_cost_var: Array
    post: epochs.EpochsPosterior
    prior: Array
    never: Array
    finished: dict[int, list[float]]
    best_size: int
    best_cost: float
    scatter: float


class ExpectedImprovement(Policy):
    name = "zeus-ray"

    def bind(self, state: SearchState) -> None:
        super().bind(state)
        top = state.settings.max_epochs
        self._log_grid = np.linspace(math.log(0.75), math.log(max(top, 1.0)), GRID)
        self._grid = np.exp(self._log_grid)
        self._key: Any = None
        self._stopped: dict[int, Stopped] = {}

    # ---
    @property
    def finished(self) -> bool:
        if self._outlook("") is None:
            return not self._untried()
        return self._wanted("") is None

    def _outlook(self, gpu: str) -> Outlook | None:
        state = self._state
        key = (gpu, len(state.runs), state.profiles.version, state.sizes, state.told)
        if key == self._key:
            return self._made
        self._key, self._made = key, self._make(gpu)
        return self._made

    def _make(self, gpu: str) -> Outlook | None:
        state = self._state
        sizes = list(state.sizes)
        by: dict[int, list[float]] = {}
        fails: dict[int, int] = {}
        for run in state.runs:
            if run.batch_size not in sizes:
                continue
            if run.reached:
                by.setdefault(run.batch_size, []).append(max(run.epochs, 0.5) if run.epochs > 0 else 1.0)
            elif run.stop not in OURS:
                fails[run.batch_size] = fails.get(run.batch_size, 0) + 1
        if not by:
            return None
        x = np.log2(sizes)
        lc, lcv = epoch_cost.predict(x, self._log_costs(sizes, gpu))
        logs = {b: np.log(es) for b, es in by.items()}
        sq = sum(float(((l - l.mean()) ** 2).sum()) for l in logs.values())
        dof = sum(len(l) - 1 for l in logs.values())
        scatter = math.sqrt((sq + PRIOR_DOF * SCATTER**2) / (dof + PRIOR_DOF))
        at = [math.log2(b) for b in by]; y = [l.mean() for l in logs.values()]; var = [scatter**2 / len(l) for l in logs.values()]
        for b, s in self._stopped.items():
            if b not in by and b in sizes:
                at.append(math.log2(b)); y.append(s.mean); var.append(s.var)
        post = epochs.posterior(x, np.array(at), np.array(y), np.array(var))
        never = epochs.never(x, np.log2(sorted(by)), {math.log2(b): s.never for b, s in self._stopped.items() if b not in by})
        for i, b in enumerate(sizes):
            if b in by:
                never[i] = fails.get(b, 0) / (len(by[b]) + fails.get(b, 0))
            elif b in self._stopped:
                never[i] = self._stopped[b].never
        costs = {b: math.exp(lc[sizes.index(b)]) * float(np.mean(es)) * (1 + fails.get(b, 0) / len(es)) for b, es in by.items()}
        best = min(costs, key=lambda b: costs[b] * math.exp(-OPTIMISM * scatter / math.sqrt(len(by[b]))))
        prior = post.on_grid(self._log_grid, lcv + scatter**2)
        return Outlook(sizes, lc, lcv, post, prior, never, by, best, costs[best], scatter)

    def _log_costs(self, sizes: list[int], gpu: str) -> Array:
        state = self._state
        out = np.array([math.log(c) if (c := state.epoch_cost(b, gpu)) > 0 else math.nan for b in sizes])
        if np.isfinite(out).any():
            return out
        for i, b in enumerate(sizes):
            c = [state.cost(r) / r.epochs for r in state.runs if r.batch_size == b and r.epochs > 0]
            c = [v for v in c if v > 0]
            if c:
                out[i] = math.log(np.mean(c))
        return out if np.isfinite(out).any() else np.zeros(len(sizes))

    def _uses(self) -> float:
        done = sum(r.reached for r in self._state.runs) if self._state.settings.recurring else 0
        return HORIZON_SHARE * max(self._state.settings.horizon_runs - done, 5)

    def _worth(self, o: Outlook) -> Array:
        """Value of exploring each size, in units of its price; above 1 is worth it."""
        c, uses = o.best_cost, self._uses()
        ec = np.exp(o.log_cost)
        gain = acquisition.expected_improvement(o.prior, self._grid * ec[:, None], c)
        w = (1 - o.never) * gain * uses / np.maximum(PRICE * c, LOOK_EPOCHS * ec)
        for i, b in enumerate(o.sizes):
            if b in o.finished:
                w[i] = 0.0
            elif b in self._stopped:
                s = self._stopped[b]
                v = acquisition.value_of_continuing(o.prior[i], o.never[i], self._grid, 0.0, ec[i], c, uses, FINISH_WORTH)
                w[i] = w[i] if v > 0 and s.looks < LOOKS else 0.0
        return w

    def _wanted(self, gpu: str) -> int | None:
        o = self._outlook(gpu)
        if o is None:
            return None
        w = self._worth(o)
        i = int(np.argmax(w))
        return o.sizes[i] if w[i] > 1 else None

    def _untried(self) -> list[int]:
        failed = {r.batch_size for r in self._state.runs if not r.reached}
        return [b for b in self._state.sizes if b not in failed]

    def choose(self, gpu: str) -> Choice | None:
        state = self._state
        limits = state.settings.power_limits_w
        o = self._outlook(gpu)
        if o is None:
            untried = self._untried()
            if state.fallback in untried or not state.sizes:
                return Choice(batch_size=state.fallback, probe_limits_w=limits)
            if untried:
                return Choice(batch_size=min(untried, key=lambda b: abs(math.log2(b / state.fallback))), probe_limits_w=limits)
            return Choice(batch_size=state.fallback, as_found=True)
        want = self._wanted(gpu)
        return Choice(batch_size=want if want is not None else o.best_size, probe_limits_w=limits)

    def _references(self, o: Outlook) -> list[Reference]:
        reached = [r for r in self._state.runs if r.reached and len(r.curve) > 1]
        runs = [r for r in reached if r.batch_size == o.best_size][-3:] or reached[-3:]
        return [Reference.of(r.curve, r.epochs, self._state.target) for r in runs]

    def _run_posterior(self, o: Outlook, size: int, curve: Curve, epoch: float) -> tuple[Array, float]:
        i = o.sizes.index(size)
        prior = o.post.on_grid(self._log_grid, np.full(len(o.sizes), o.scatter**2))[i]
        never = min(max(float(o.never[i]), 0.01), 0.99)
        ev = evidence(curve, self._references(o), self._state.target, self._log_grid)
        odds = math.log(never / (1 - never))
        logp = np.log(prior)
        if ev is not None:
            logp = logp + ev.log_likelihood
            odds += ev.log_odds_never
        p = np.exp(logp - logp.max()); p /= p.sum()
        alive = self._grid > epoch + 1e-9
        surv = float(p[alive].sum())
        never = 1 / (1 + math.exp(-odds))
        if surv <= 1e-9:
            return p, 1.0
        return np.where(alive, p, 0) / surv, never / (never + (1 - never) * surv)

    def should_stop(self, progress: Progress, curve: Curve) -> StopReason | None:
        state, size, e = self._state, progress.knobs.batch_size, progress.epoch
        o = self._outlook(progress.gpu)
        if o is None or size not in o.sizes:
            return None
        if size in o.finished:
            if size == state.fallback and len(o.finished) == 1:
                return None
            es = np.log(o.finished[size])
            sd = math.sqrt((((es - es.mean()) ** 2).sum() + PRIOR_DOF * PRIOR_SCATTER**2) / (len(es) - 1 + PRIOR_DOF))
            late = max(es.max(), es.mean() + OVERDUE_SD * sd * math.sqrt(1 + 1 / len(es))) + 0.1
            return StopReason.NOT_WORTH_IT if e > math.exp(late) + 1 else None
        i = o.sizes.index(size)
        cost = math.exp(o.log_cost[i])
        if e < 1:
            return StopReason.NOT_WORTH_IT if self._worth(o)[i] < GO_ON else None
        if e * cost > COST_LIMIT * o.best_cost:
            return StopReason.NOT_WORTH_IT
        p, never = self._run_posterior(o, size, curve, e)
        v = acquisition.value_of_continuing(p, never, self._grid, e, cost, o.best_cost, self._uses(), FINISH_WORTH)
        return StopReason.NOT_WORTH_IT if v <= 0 else None

    def learn(self, run: CompletedRun) -> None:
        size = run.batch_size
        if run.reached or size not in self._state.sizes:
            return
        o = self._outlook(run.gpu)
        if o is None or size in o.finished:
            return
        p, never = self._run_posterior(o, size, run.curve, run.epochs if run.epochs > 0 else 0.0)
        if run.stop not in OURS:
            never = max(never, 0.97)
        m = float(p @ self._log_grid)
        v = float(p @ (self._log_grid - m) ** 2)
        spent = self._state.cost(run)
        old = self._stopped.get(size)
        looks = (old.looks if old else 0) + (1 if run.epochs >= 1 else 0)
        self._stopped[size] = Stopped(looks, m, max(v, 0.01), never, max(old.spent if old else 0, spent if spent > 0 else 0))
        self._key = None

    def state(self) -> dict[str, Any]:
        return {"stopped": [[b, s.looks, s.mean, s.var, s.never, s.spent] for b, s in self._stopped.items()]}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._stopped = {b: Stopped(*s) for b, *s in state["stopped"]}
        self._key = None
