"""The bound on what exploration may cost: a conservative bandit (Wu et al., ICML 2016), by construction.

The baseline is what the user had: the default batch size at the highest power limit, D joules of cost a
run. Each told run i of cost c_i enters an account:

    spent_i = c_i                  a run of another batch size that did not reach the target, or a run of
                                   the default that the search itself ended early
    spent_i = max(0, c_i − D)      a run of another batch size that reached it
    saved_i = max(0, D − c_i)      likewise
    saved_i = d_i − c_i            a run of the default, d_i the same run at the highest power limit

    left = budget · D + share · Σ saved − Σ spent                                                    (B1)

A run of another batch size begins only while ``left`` is above 0, and is stopped before ``cost so far +
next report > left + overrun · D``. So at any time Σ spent − share · Σ saved <= (budget + overrun) · D,
whatever the job and the policy do, up to one report per run under way. Wu et al. play the exploring arm
where a lower confidence bound keeps the total above (1 − α) of the baseline's; here the cost of the run
under way is observed, so that the bound needs no confidence level.

Before the default has completed a run, D is not known: then ``left`` is a share of what the default's
run under way has cost. Where the default never reached the target, nothing bounds the search: not
searching would never end either.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zeus_ray.records import Exploration, RunAccount

SAVED_SHARE = 1.0
"""Share of the savings that may be spent again. 1: the total never exceeds that of the default for ever by
more than the budget, and every joule saved can pay for finding more."""
OVERRUN = 0.25
"""Runs of the default (of a budget below one run, that share of it) by which a run that was begun within the
budget may exceed it, so that it is not given up shortly before the target. Regret over the published policy's
on half a after 10 / 20 / 50: without it 0.40 / 0.42 / 0.50, with it 0.36 / 0.35 / 0.38."""
FIRST_RUN_SHARE = 0.5
"""Share of the cost of the default's first run that pieces of others may cost while it runs."""


@dataclass(frozen=True)
class _Entry:
    run_id: str
    batch_size: int
    cost_j: float
    reference_j: float
    reached: bool
    explored: bool


class ExplorationBudget:
    """The account of one search."""

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self._entries: list[_Entry] = []
        self._totals: tuple[float, float, float] | None = None

    @property
    def default_cost_j(self) -> float:
        """Mean cost (J) of the default's completed runs at the highest limit, D; NaN before the first."""
        return self._sums()[0] if self._entries else math.nan

    def add(
        self,
        run_id: str,
        batch_size: int,
        cost_j: float,
        reference_j: float,
        *,
        reached: bool,
        explored: bool,
    ) -> None:
        """Enter a told run.

        Args:
            run_id: its name.
            batch_size: its batch size.
            cost_j: its cost; NaN counts as 0.
            reference_j: of a run of the default to its natural end, its cost at the highest limit; else NaN.
            reached: whether it reached the target.
            explored: whether it counts as exploration.
        """
        cost_j = cost_j if math.isfinite(cost_j) else 0.0
        self._entries.append(_Entry(run_id, batch_size, cost_j, reference_j, reached, explored))
        self._totals = None

    def left_j(self, default_so_far_j: float, pending_j: float) -> float:
        """What a run of another batch size may cost now, B1.

        Args:
            default_so_far_j: cost of the default's run under way, while none has completed.
            pending_j: cost so far of the other exploring runs under way.
        """
        if math.isinf(self.budget):
            return math.inf
        default_j, spent_j, saved_j = self._sums() if self._entries else (math.nan, 0.0, 0.0)
        if math.isnan(default_j):
            spent_j = sum(entry.cost_j for entry in self._entries if entry.explored)
            return min(FIRST_RUN_SHARE, self.budget) * default_so_far_j - spent_j - pending_j
        return self.budget * default_j + SAVED_SHARE * saved_j - spent_j - pending_j

    @property
    def overrun_j(self) -> float:
        """What a run under way may cost (J) beyond what the budget leaves; 0 while D is not known."""
        default_j = self.default_cost_j
        return OVERRUN * min(self.budget, 1.0) * default_j if default_j > 0 else 0.0

    def report(self, default_so_far_j: float, pending_j: float) -> Exploration:
        """The account as a record."""
        default_j = self.default_cost_j
        runs = tuple(_account(entry, default_j) for entry in self._entries)
        return Exploration(
            default_cost_j=self.default_cost_j,
            budget_j=self.budget * self.default_cost_j,
            spent_j=sum(run.spent_j for run in runs),
            saved_j=sum(run.saved_j for run in runs),
            left_j=self.left_j(default_so_far_j, pending_j),
            runs=runs,
        )

    def _sums(self) -> tuple[float, float, float]:
        """D, spent and saved (J): the sums of :func:`_account`, over arrays."""
        if self._totals is None:
            columns = ("cost_j", "reference_j", "reached", "explored")
            cost, reference, reached, explored = (
                np.array([getattr(entry, name) for entry in self._entries]) for name in columns
            )
            natural = reached & (reference > 0)
            default_j = float(reference[natural].mean()) if natural.any() else math.nan
            beyond = (cost - default_j)[reached & explored] if natural.any() else np.zeros(1)
            spent_j = cost[explored & ~reached].sum() + np.maximum(beyond, 0).sum()
            saved = np.maximum(reference - cost, 0)[natural & ~explored].sum() + np.maximum(-beyond, 0).sum()
            self._totals = default_j, float(spent_j), float(saved)
        return self._totals

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"entries": [list(dataclasses.astuple(entry)) for entry in self._entries]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._entries = [_Entry(*row) for row in state["entries"]]
        self._totals = None


def _account(entry: _Entry, default_j: float) -> RunAccount:
    spent_j = saved_j = 0.0
    if not entry.explored:
        saved_j = (
            max(0.0, entry.reference_j - entry.cost_j) if entry.reached and entry.reference_j > 0 else 0.0
        )
    elif not entry.reached:
        spent_j = entry.cost_j
    elif default_j > 0:
        saved_j, spent_j = max(0.0, default_j - entry.cost_j), max(0.0, entry.cost_j - default_j)
    return RunAccount(
        run_id=entry.run_id,
        batch_size=entry.batch_size,
        cost_j=entry.cost_j,
        spent_j=spent_j,
        saved_j=saved_j,
    )
