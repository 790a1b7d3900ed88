"""What a search has been told: the state that every policy decides from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from typing_extensions import Self

from zeus_ray.objective import cost, eta_at, max_power_or_fallback_w
from zeus_ray.records import (
    NAN,
    Knobs,
    Measurement,
    Outcome,
    PowerProfile,
    StopReason,
    Target,
    from_plain,
    to_plain,
)
from zeus_ray.search import power_limit
from zeus_ray.search.exploration_budget import ExplorationBudget
from zeus_ray.search.feasible_batch_sizes import FeasibleSizes
from zeus_ray.search.models.learning_curve import Curve
from zeus_ray.search.pending import PendingRuns
from zeus_ray.search.profiles import Profiles
from zeus_ray.search.settings import Settings

SHORT = (StopReason.NOT_WORTH_IT, StopReason.PROFILED)
"""Ends of runs that may have been too short to bring a profile."""
CURVES_KEPT = 24
"""Learning curves of older runs are dropped, so that the state stays below 200 kB."""


@dataclass(frozen=True, kw_only=True)
class CompletedRun:
    """One told run that counts for its batch size; not ``reached``: stopped, failed, or crashed twice."""

    batch_size: int
    reached: bool
    epochs: float = NAN
    energy_j: float = NAN
    time_s: float = NAN
    gpu: str = ""
    stop: StopReason | None = None
    curve: Curve = ()

    @classmethod
    def of(cls, knobs: Knobs, outcome: Outcome, curve: Curve) -> Self:
        """From an outcome; a number that is negative or not finite counts as not measured."""
        return cls(
            batch_size=knobs.batch_size,
            reached=outcome.reached,
            epochs=_measured(outcome.epochs),
            energy_j=_measured(outcome.measurement.energy_j),
            time_s=_measured(outcome.measurement.time_s),
            gpu=outcome.gpu,
            stop=outcome.stop,
            curve=curve,
        )

    def to_row(self) -> list[Any]:
        """Plain JSON: the fields in their order."""
        return list(dataclasses.astuple(self))

    @classmethod
    def from_row(cls, row: list[Any]) -> Self:
        """Inverse of :meth:`to_row`."""
        raw = dict(zip((field.name for field in dataclasses.fields(cls)), row, strict=True))
        raw["stop"] = StopReason(raw["stop"]) if raw["stop"] else None
        return cls(**{**raw, "curve": tuple((epoch, metric) for epoch, metric in raw["curve"])})


class SearchState:
    """Settings, target, profiles, completed and pending runs, exploration budget, random generator."""

    def __init__(self, settings: Settings, budget: float) -> None:
        self.settings = settings
        self.target = settings.target or Target("", None)
        self.max_power_w = settings.max_power_w
        self.profiles = Profiles()
        self.runs: list[CompletedRun] = []
        self.baseline: CompletedRun | None = None
        """A run of the default that was not asked for; its epochs and its curve count like others."""
        self.pending = PendingRuns()
        self.budget = ExplorationBudget(budget)
        self.told = 0
        self.feasible = FeasibleSizes(
            settings.batch_sizes,
            settings.default_batch_size,
            grows=settings.auto_sizes,
            accumulate=settings.accumulate,
            gpus=settings.gpus,
        )
        self.rng = np.random.default_rng(settings.seed)
        self.kinds_here: set[str] = set()
        """Kinds of GPU that runs of this search were on; a warm start may know others."""
        self.unprofiled: set[int] = set()
        """Batch sizes whose runs brought no profile: power is not measured there, and is not asked for
        again."""
        self.unprobed: dict[tuple[str, int], tuple[float, ...]] = {}
        """Limits (W), by kind of GPU and batch size, that a run was to probe and was stopped before."""
        self.wished: set[str] = set()
        """Pending runs of ``points_to_evaluate``: outside the exploration budget."""
        self.remaining_trials: int | None = None
        self.remaining_time_s: float | None = None
        self._epoch_costs: dict[tuple[int, bool], tuple[PowerProfile, float]] = {}
        self._cheapest = math.inf
        self._default_runs: set[bool] = set()
        """Whether runs of the default reached the target."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """The batch sizes that can run, as far as known."""
        return self.feasible.now()

    @property
    def fallback(self) -> int:
        """The default batch size, or the largest below it that fits in memory."""
        fits = [size for size in self.sizes if size <= self.settings.default_batch_size]
        return fits[-1] if fits else self.settings.default_batch_size

    def exploration_left_j(self, run_id: str = "") -> float:
        """What the exploration budget leaves (J of cost) for a pending run, or for another one."""
        default_fails = self._default_runs == {False}
        if default_fails or self.fallback != self.settings.default_batch_size:
            return math.inf  # what the user had does not work
        return self.budget.left_j(*self.under_way(run_id))

    def exploring_run_may_cost_j(self, run_id: str = "") -> float:
        """What the exploration budget lets a pending run cost (J), or another one that begins within it."""
        return self.exploration_left_j(run_id) + self.budget.overrun_j

    def may_begin_exploring(self, batch_size: int, gpu: str = "") -> bool:
        """Whether the exploration budget leaves more than the first epoch of a run costs."""
        epoch_j = self.epoch_cost(batch_size, gpu)
        return self.exploration_left_j() > (epoch_j if math.isfinite(epoch_j) else 0.0)

    def under_way(self, but: str) -> tuple[float, float]:
        """Cost so far (J) of the default's pending run, and of the exploring ones except ``but``."""
        default_j = others_j = 0.0
        for run_id, knobs in self.pending.knobs.items():
            if knobs.batch_size == self.fallback:
                default_j = max(default_j, self.pending.cost_j(run_id))
            elif run_id != but:
                others_j += self.pending.cost_j(run_id)
        return default_j, others_j

    def learn_max_power(self, max_power_w: float | None) -> None:
        """Fix MAXPOWER at the first GPU seen: the unit of cost never changes after that."""
        if self.max_power_w is None:
            self.max_power_w = max_power_or_fallback_w(max_power_w)
            self._epoch_costs.clear()

    def cost(self, measurement: Measurement | CompletedRun) -> float:
        """Cost (J) of what was measured; NaN where nothing was."""
        return cost(
            measurement.energy_j,
            measurement.time_s,
            eta=self.settings.eta,
            max_power_w=self.max_power_w,
            gpus=self.settings.gpus,
        )

    def limit_w(self, profile: PowerProfile, energy_price: float = 1.0, eta: float | None = None) -> float:
        """The best power limit (W) of a profile while energy costs ``energy_price`` times its mean."""
        eta = eta_at(self.settings.eta if eta is None else eta, energy_price)
        return power_limit.optimal_limit_w(
            profile,
            eta=eta,
            max_power_w=self.max_power_w,
            gpus=self.settings.gpus,
            max_slowdown=self.settings.max_slowdown,
        )

    def epoch_cost(self, batch_size: int, gpu: str = "", *, at_max_limit: bool = False) -> float:
        """Cost (J) of an epoch at the best limit, or at the highest one measured; NaN without a profile."""
        profile = self.profiles.get(batch_size, gpu)
        if profile is None:
            return NAN
        known = self._epoch_costs.get((batch_size, at_max_limit))
        if known is None or known[0] is not profile:
            highest_w = max(point.power_limit_w for point in profile.points)
            limit_w = highest_w if at_max_limit else self.limit_w(profile)
            settings = self.settings
            price = power_limit.epoch_cost(profile, limit_w, settings.eta, settings.gpus, self.max_power_w)
            known = self._epoch_costs[batch_size, at_max_limit] = (profile, price)
        return known[1]

    def kind_next(self, gpu: str) -> str:
        """The kind of GPU of the next run: as given, or the only one so far; "" where it is not known."""
        return gpu or (next(iter(self.kinds_here)) if len(self.kinds_here) == 1 else "")

    @property
    def usual_cap(self) -> float:
        """Beta times the cost (J) of the cheapest run that reached the target; inf while there is none."""
        return self.settings.beta * self._cheapest

    def counts(self, knobs: Knobs, outcome: Outcome) -> bool:
        """Whether an outcome says something of its batch size: not a first crash, nor a shared GPU."""
        size = knobs.batch_size
        if outcome.stop == StopReason.OUT_OF_MEMORY:
            return True
        if outcome.stop == StopReason.ERROR and not outcome.reached:
            return self.pending.crashed(size)
        self.pending.completed(size)
        self.feasible.observe(knobs, outcome.stop)
        self._note_profile(knobs, outcome)
        return not outcome.shared

    def reached_runs(self) -> list[CompletedRun]:
        """Runs that reached the target, the baseline first."""
        baseline = [] if self.baseline is None else [self.baseline]
        return [run for run in (*baseline, *self.runs) if run.reached]

    def add(self, run: CompletedRun) -> None:
        """Append a completed run; the oldest learning curve beyond ``CURVES_KEPT`` is dropped."""
        self.runs.append(run)
        if run.batch_size == self.settings.default_batch_size:
            self._default_runs.add(run.reached)
        run_cost = self.cost(run)
        if run.reached and run_cost > 0:
            self._cheapest = min(self._cheapest, run_cost)
        if len(self.runs) > CURVES_KEPT:
            old = self.runs[-CURVES_KEPT - 1]
            self.runs[-CURVES_KEPT - 1] = dataclasses.replace(old, curve=())

    def _note_profile(self, knobs: Knobs, outcome: Outcome) -> None:
        """Record limits that an ended run did not measure; those that two runs missed are given up."""
        size, gpu = knobs.batch_size, outcome.gpu
        profile = self.profiles.get(size, gpu)
        if profile is None and outcome.stop not in SHORT:
            self.unprofiled.add(size)
        if profile is None or knobs.probe_limits_w == ():
            return
        seen = {point.power_limit_w for point in profile.points}
        on_others = {point.power_limit_w for p in self.profiles.of(gpu) for point in p.points}
        limits = knobs.probe_limits_w or sorted(on_others, reverse=True)
        left = tuple(limit_w for limit_w in limits if limit_w not in seen)
        before = self.unprobed.pop((profile.gpu, size), ())
        if left and left != before:
            self.unprobed[profile.gpu, size] = left

    def state(self) -> dict[str, Any]:
        """Everything but the settings, as plain JSON."""
        return {
            "target": dataclasses.asdict(self.target),
            "max_power_w": self.max_power_w,
            "profiles": [to_plain(profile) for profile in self.profiles.all()],
            "last_gpu": self.profiles.last_gpu,
            "runs": [run.to_row() for run in self.runs],
            "baseline": None if self.baseline is None else self.baseline.to_row(),
            "pending": self.pending.state(),
            "budget": self.budget.state(),
            "unprofiled": sorted(self.unprofiled),
            "unprobed": [[*key, list(limits)] for key, limits in self.unprobed.items()],
            "kinds_here": sorted(self.kinds_here),
            "told": self.told,
            "wished": sorted(self.wished),
            "remaining": [self.remaining_trials, self.remaining_time_s],
            "sizes": self.feasible.state(),
            "random": self.rng.bit_generator.state,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self.target = Target(**state["target"])
        self.max_power_w = state["max_power_w"]
        self.profiles = Profiles(from_plain(PowerProfile, raw) for raw in state["profiles"])
        self.profiles.last_gpu = state["last_gpu"]
        self.pending.restore(state["pending"])
        self.budget.restore(state["budget"])
        self.unprofiled, self.kinds_here = set(state["unprofiled"]), set(state["kinds_here"])
        self.unprobed = {(gpu, size): tuple(limits) for gpu, size, limits in state["unprobed"]}
        self.told, self.wished = state["told"], set(state["wished"])
        self.remaining_trials, self.remaining_time_s = state["remaining"]
        self.feasible.restore(state["sizes"])
        self.rng.bit_generator.state = state["random"]
        self.baseline = CompletedRun.from_row(state["baseline"]) if state["baseline"] else None
        for row in state["runs"]:
            self.add(CompletedRun.from_row(row))


def _measured(number: float) -> float:
    return number if math.isfinite(number) and number >= 0 else NAN
