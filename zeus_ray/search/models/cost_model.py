"""Cost of a run at every batch size, from everything told so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zeus_ray.search.models import epochs, epochs_change_point
from zeus_ray.search.models import unprofiled_epoch_cost as epoch_cost
from zeus_ray.search.models.learning_curve import Array, Curve, Reference, evidence
from zeus_ray.search.state import CompletedRun, SearchState

GRID = 80
"""Points of the grid of log epochs: 5 % apart up to 50 epochs."""
OPTIMISM = 0.5
"""Of two sizes whose means are within scatter, the one that ran less often runs next: mean · exp(−0.5 · sd
/ √n), so that the two best are repeated until they are told apart."""
REFERENCES = 3
"""Curves compared with: those of the newest runs of the best size."""


@dataclass(frozen=True)
class Stopped:
    """What partial runs of a size have shown: log epochs, and the chance of never."""

    log_epochs: float
    var: float
    never: float


@dataclass(frozen=True)
class CostModel:
    """The posterior at one moment. Arrays are by batch size, or [sizes, grid]."""

    sizes: tuple[int, ...]
    epoch_costs: Array
    posterior: epochs.EpochsPosterior
    probability: Array
    """Of epochs on the grid, doubt in the cost of an epoch included."""
    never: Array
    finished: Mapping[int, Array]
    """log epochs of the runs that reached the target, by batch size."""
    means: Mapping[int, float]
    """Mean cost (J) of a run, failed ones included, of each size that finished."""
    scatter: float
    log_grid: Array

    def ranked(self) -> list[int]:
        """Finished sizes, the one to run first: by mean cost, those that ran less often a little sooner."""
        return sorted(
            self.means,
            key=lambda b: (
                self.means[b] * math.exp(-OPTIMISM * self.scatter / math.sqrt(len(self.finished[b])))
            ),
        )

    def column(self, size: int) -> int:
        """Index of a size in the arrays."""
        return self.sizes.index(size)

    def octaves_beyond_first(self) -> Array:
        """How many octaves each size is away from the nearest one that finished, less one; at least 0."""
        away = np.log2(self.sizes)[:, None] - np.log2(sorted(self.finished))
        return np.asarray(np.maximum(np.abs(away).min(axis=1) - 1, 0.0))

    def of_run(
        self, size: int, curve: Curve, epoch: float, references: Sequence[Reference], state: SearchState
    ) -> tuple[Array, float]:
        """Probability of epochs (on the grid) and chance of never of a run that has come to ``epoch``."""
        i = self.column(size)
        prior = self.posterior.on_grid(self.log_grid, np.full(len(self.sizes), self.scatter**2))[i]
        chance = min(max(float(self.never[i]), 0.01), 0.99)
        log_odds, log_p = math.log(chance / (1 - chance)), np.log(prior)
        shown = evidence(curve, references, state.target, self.log_grid)
        if shown is not None:
            log_p, log_odds = log_p + shown.log_likelihood, log_odds + shown.log_odds_never
        p = np.exp(log_p - log_p.max())
        p /= p.sum()
        ahead = np.exp(self.log_grid) > epoch + 1e-9
        survives = float(p[ahead].sum())
        if survives < 1e-9:
            return p, 1.0
        never = 1 / (1 + math.exp(-log_odds))
        return np.where(ahead, p, 0.0) / survives, never / (never + (1 - never) * survives)


def cost_model(
    state: SearchState, gpu: str, stopped: Mapping[int, Stopped], since: int, ours: Sequence[object]
) -> CostModel | None:
    """The posterior, or None while no feasible size has reached the target.

    Args:
        state: what was told.
        gpu: kind of GPU whose profiles count.
        stopped: sizes whose runs were stopped or failed.
        since: index of the first run of the job as it is now.
        ours: reasons to stop that are the search's own, and no failure.
    """
    sizes = state.sizes
    finished, stale, wasted = _by_size(state.runs, since, sizes, ours)
    if not finished:
        return None
    if state.baseline is not None and state.baseline.epochs > 0 and since == 0:
        log = math.log(state.baseline.epochs)
        finished[state.baseline.batch_size] = np.append(finished.get(state.baseline.batch_size, ()), log)
    x = np.log2(sizes)
    log_costs, cost_var = epoch_cost.predict(x, _log_epoch_costs(state, sizes, gpu))
    sd = epochs.scatter(finished.values())
    seen = [(b, float(logs.mean()), sd**2 / len(logs)) for b, logs in finished.items()]
    seen += [(b, s.log_epochs, s.var) for b, s in stopped.items() if b in sizes and b not in finished]
    seen += [
        (b, float(logs.mean()), epochs_change_point.STALE_VAR + sd**2 / len(logs))
        for b, logs in stale.items()
    ]
    at, log_epochs, var = (np.array(column) for column in zip(*seen, strict=True))
    posterior = epochs.posterior(x, np.log2(at), log_epochs, var)
    reached = np.log2(sorted({*finished, *stale}))
    doubts = {math.log2(b): s.never for b, s in stopped.items() if b not in finished}
    grid = np.linspace(math.log(0.75), math.log(max(state.settings.max_epochs, 1.0)), GRID)
    return CostModel(
        sizes=sizes,
        epoch_costs=np.exp(log_costs),
        posterior=posterior,
        probability=posterior.on_grid(grid, cost_var + sd**2),
        never=epochs.never(x, reached, doubts),
        finished=finished,
        means={
            b: math.exp(log_costs[sizes.index(b)])
            * (float(np.exp(logs).sum()) + wasted.get(b, 0.0))
            / len(logs)
            for b, logs in finished.items()
        },
        scatter=sd,
        log_grid=grid,
    )


def references(state: SearchState, size: int) -> list[Reference]:
    """Curves of the newest runs of ``size`` that reached the target; of any size where it has none."""
    reached = [run for run in state.reached_runs()[-64:] if run.epochs > 0 and len(run.curve) > 1]
    runs = [run for run in reached if run.batch_size == size] or reached
    return [Reference.of(run.curve, run.epochs, state.target) for run in runs[-REFERENCES:]]


def _by_size(
    runs: Sequence[CompletedRun], since: int, sizes: Sequence[int], ours: Sequence[object]
) -> tuple[dict[int, Array], dict[int, Array], dict[int, float]]:
    """Log epochs of runs that reached the target, now and before the job changed; and failures, by size."""
    now: dict[int, list[float]] = {}
    before: dict[int, list[float]] = {}
    wasted: dict[int, float] = {}
    for index, run in enumerate(runs):
        if run.batch_size not in sizes:
            continue
        if run.reached:
            log = math.log(max(run.epochs, 0.5)) if run.epochs > 0 else 0.0
            (now if index >= since else before).setdefault(run.batch_size, []).append(log)
        elif index >= since and (run.stop not in ours or run.batch_size in now):
            wasted[run.batch_size] = wasted.get(run.batch_size, 0.0) + (run.epochs if run.epochs > 0 else 1.0)
    stale = {b: np.array(logs) for b, logs in before.items() if b not in now}
    return {b: np.array(logs) for b, logs in now.items()}, stale, wasted


def _log_epoch_costs(state: SearchState, sizes: Sequence[int], gpu: str) -> Array:
    """From profiles; where there is none at all, as runs have cost; equal where that is unknown too."""
    costs = np.array([state.epoch_cost(b, gpu) for b in sizes])
    if not (costs > 0).any():
        for i, b in enumerate(sizes):
            told = [
                state.cost(run) / run.epochs for run in state.runs if run.batch_size == b and run.epochs > 0
            ]
            costs[i] = np.mean([c for c in told if c > 0] or [math.nan])
    if not (costs > 0).any():
        return np.zeros(len(sizes))
    return np.log(np.where(costs > 0, costs, math.nan))
