"""The published policy: pruning, then Gaussian Thompson sampling (Zeus, NSDI'23, sections 4.3 and 4.4).

Pruning: from the default batch size downwards until one fails to reach the target, then upwards
until one fails. The survivors carry over to a second round, which begins at the cheapest of them.
After two rounds each survivor is an arm of a bandit: its mean cost has a flat prior and a Gaussian
likelihood whose variance is that of the arm's own history; the arm with the best draw runs.
A run is stopped before its cost exceeds beta times the cheapest cost seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from zeus_ray.records import Progress, StopReason
from zeus_ray.search.models.learning_curve import Curve
from zeus_ray.search.policies.policy import Choice, Policy
from zeus_ray.search.state import CompletedRun, SearchState

ROUNDS = 2
NEVER_RAN = 100.0
"""A run that cannot finish an epoch below the cap counts as this many caps (as in Zeus's simulator)."""
SETTLED_RUNS = 5


class Pruning:
    """The two exploration rounds. Only the result of the batch size it expects moves it on."""

    def __init__(self, sizes: tuple[int, ...], default: int) -> None:
        self.sizes = list(sizes)
        self.default = default
        self.round = 0
        self.good: dict[int, float] = {}
        self._plan = {"down": [], "up": []} if not sizes else self._both_ways()

    @property
    def expecting(self) -> int | None:
        """The batch size to run next; None when exploration is over."""
        waiting = self._plan["down"] or self._plan["up"]
        return waiting[0] if waiting else None

    def observe(self, batch_size: int, run_cost: float, reached: bool) -> None:
        """The expected batch size has run: on in this direction, or this direction is over."""
        way = self._plan["down"] or self._plan["up"]
        way.pop(0)
        if reached:
            self.good[batch_size] = run_cost
        else:
            way.clear()
        if self.expecting is None:
            self._next_round()

    def drop(self, batch_size: int) -> None:
        """A batch size that does not fit in memory, seen by another run than the expected one."""
        self.sizes = [size for size in self.sizes if size < batch_size]
        self.good = {size: run_cost for size, run_cost in self.good.items() if size < batch_size}
        self._plan = {way: [b for b in sizes if b < batch_size] for way, sizes in self._plan.items()}
        if self.expecting is None and self.round < ROUNDS:
            self._next_round()

    def _next_round(self) -> None:
        self.round += 1
        self.sizes = sorted(self.good)
        if self.sizes:
            self.default = min(self.good, key=self.good.__getitem__)
        if self.round < ROUNDS and self.sizes:
            self.good = {}
            self._plan = self._both_ways()

    def _both_ways(self) -> dict[str, list[int]]:
        down = sorted((size for size in self.sizes if size <= self.default), reverse=True)
        return {"down": down, "up": sorted(size for size in self.sizes if size > self.default)}

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "sizes": self.sizes,
            "default": self.default,
            "round": self.round,
            "good": list(self.good.items()),
            "plan": self._plan,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Pruning:
        """Inverse of :meth:`state`."""
        pruning = cls(tuple(state["sizes"]), state["default"])
        pruning.round = state["round"]
        pruning.good = dict(state["good"])
        pruning._plan = {way: list(sizes) for way, sizes in state["plan"].items()}
        return pruning


class Nsdi23(Policy):
    """The reference policy. Every option it has is a setting of the search."""

    name = "nsdi23"
    exploration_budget = one_search_budget = math.inf
    """As published; a finite budget may be asked for."""

    def bind(self, state: SearchState) -> None:
        """Attach to a search."""
        super().bind(state)
        self._pruning = Pruning(state.settings.batch_sizes, state.settings.default_batch_size)
        self._costs: list[tuple[int, float]] = []
        """(batch size, cost) of every run, as the bandit sees it."""
        self._cheapest = math.inf
        self._best_size = state.settings.default_batch_size

    @property
    def finished(self) -> bool:
        """Exploration is over, and one arm is left, or the last runs all chose the same.

        The paper's policy recurs for ever; for a search that ends we add this rule, and an upper
        bound: after exploration it runs at most ``horizon_runs`` times.
        """
        if self._pruning.expecting is not None:
            return False
        if len(self._arms) <= 1:
            return True
        last = [size for size, _cost in self._costs[-SETTLED_RUNS:]]
        sampled = self._state.told - ROUNDS * len(self._state.settings.batch_sizes)
        return len(set(last)) == 1 or sampled >= self._state.settings.horizon_runs

    def choose(self, gpu: str) -> Choice:  # noqa: ARG002 — pruning and bandit know of one cost per batch size
        """Pruning's next; while that is in flight, the best known; afterwards Thompson's."""
        cap = self._state.settings.beta * self._cheapest
        expecting = self._pruning.expecting
        if expecting is None and not self._arms:
            return Choice(batch_size=self._state.fallback, as_found=True)
        if expecting is None:
            return Choice(batch_size=self._sample(), cost_cap=cap, probe_limits_w=self._probes)
        in_flight = any(knobs.batch_size == expecting for knobs in self._state.pending.knobs.values())
        size = self._best_known() if in_flight else expecting
        return Choice(batch_size=size, cost_cap=cap, probe_limits_w=self._probes)

    def should_stop(self, progress: Progress, curve: Curve) -> StopReason | None:  # noqa: ARG002 — the paper goes by cost alone
        """Stop *before* an epoch that would take the cost over the cap (section 4.3)."""
        spent = self._state.cost(progress.measurement)
        if progress.epoch >= 1:
            next_epoch = spent / progress.epoch
        else:
            next_epoch = self._state.epoch_cost(progress.knobs.batch_size, progress.gpu) * (
                1 - progress.epoch
            )
        return StopReason.COST_CAP if spent + next_epoch > progress.knobs.cost_cap else None

    def learn(self, run: CompletedRun) -> None:
        """Fit the arm, and move pruning on if it waited for this batch size."""
        run_cost = self._told_cost(run)
        self._costs.append((run.batch_size, run_cost))
        if run.reached and run_cost < self._cheapest:
            self._cheapest, self._best_size = run_cost, run.batch_size
        if self._pruning.expecting == run.batch_size:
            self._pruning.observe(run.batch_size, run_cost, run.reached)
        if run.stop == StopReason.OUT_OF_MEMORY:
            self._pruning.drop(run.batch_size)

    @property
    def _arms(self) -> list[int]:
        return self._pruning.sizes

    @property
    def _probes(self) -> tuple[float, ...] | None:
        return self._state.settings.power_limits_w

    def _best_known(self) -> int:
        return self._best_size if self._best_size in self._state.sizes else self._state.fallback

    def _told_cost(self, run: CompletedRun) -> float:
        spent = self._state.cost(run)
        cheapest = self._cheapest if math.isfinite(self._cheapest) else 1.0
        if math.isnan(spent) or (not run.reached and not run.epochs >= 1):
            return NEVER_RAN * self._state.settings.beta * cheapest
        return spent

    def _sample(self) -> int:
        """One Thompson draw (Algorithm 1). Arms seen less than twice go first, in random order."""
        histories = self._histories()
        for arm in self._state.rng.choice(self._arms, len(self._arms), replace=False):
            if len(histories[int(arm)]) < ROUNDS:
                return int(arm)
        draws = {arm: self._draw(costs) for arm, costs in histories.items()}
        return max(draws, key=draws.__getitem__)

    def _draw(self, costs: list[float]) -> float:
        """A sample of the mean reward: flat prior, n observations of precision 1 / their variance."""
        rewards = -np.asarray(costs)
        return float(self._state.rng.normal(rewards.mean(), math.sqrt(rewards.var() / len(rewards))))

    def _histories(self) -> dict[int, list[float]]:
        """Costs of each arm, the newest ``window`` of them (section 4.4: drift)."""
        histories: dict[int, list[float]] = {arm: [] for arm in self._arms}
        for size, run_cost in self._costs:
            if size in histories:
                histories[size].append(run_cost)
        window = self._state.settings.window or len(self._costs)
        return {arm: costs[-window:] for arm, costs in histories.items()}

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "pruning": self._pruning.state(),
            "costs": self._costs,
            "cheapest": self._cheapest,
            "best_size": self._best_size,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self._pruning = Pruning.from_state(state["pruning"])
        self._costs = [(size, run_cost) for size, run_cost in state["costs"]]
        self._cheapest, self._best_size = state["cheapest"], state["best_size"]
