"""The job as told so far: what every policy decides from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from typing_extensions import Self

from zeus_ray.decide import power
from zeus_ray.decide.curves import Curve
from zeus_ray.decide.inflight import InFlight
from zeus_ray.decide.profiles import Profiles
from zeus_ray.decide.settings import Settings
from zeus_ray.decide.sizes import Sizes
from zeus_ray.objective import cost, eta_at, max_power_or_fallback_w
from zeus_ray.records import NAN, Knobs, Measurement, Outcome, PowerProfile, Progress, StopReason, Target

SHORT = (StopReason.NOT_WORTH_IT, StopReason.PROFILED)
"""Ends of runs that may have been too short to measure anything."""
CURVES_KEPT = 64
"""Learning curves of older runs are forgotten: the state stays small."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One told run that credits its batch size; not ``reached``: stopped, failed, or crashed twice."""

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
        """What counts of an outcome; a number that is not finite, or negative, was not measured."""
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

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Inverse of ``dataclasses.asdict``, through JSON."""
        stop = StopReason(raw["stop"]) if raw["stop"] else None
        return cls(**{**raw, "stop": stop, "curve": tuple((e, m) for e, m in raw["curve"])})


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a policy wants to run. ``probe_limits_w`` counts where the batch size has no profile yet."""

    batch_size: int
    cost_cap: float = math.inf
    probe_limits_w: tuple[float, ...] | None = None
    as_found: bool = False
    """At the limit found on the board."""


class Policy(Protocol):
    """A way to decide. It reads the job it was made with, and is told of every run that counts."""

    @property
    def finished(self) -> bool:
        """Whether nothing is worth trying any more (asked where the search is to end)."""

    def choose(self, gpu: str) -> Choice | None:
        """The next run; None: nothing now."""

    def should_stop(self, progress: Progress, curve: Curve) -> StopReason | None:
        """Whether a run that has not reached the target should end now."""

    def learn(self, run: Run) -> None:
        """A run has ended; it is already in the job's runs."""

    def state(self) -> dict[str, Any]:
        """What it has decided and cannot be read from the job, as plain JSON."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""


class Job:
    """Settings, profiles, runs told, runs in flight, random numbers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.target = settings.target or Target("", None)
        self.max_power_w = settings.max_power_w
        self.profiles = Profiles()
        self.runs: list[Run] = []
        self.flights = InFlight()
        self.told = 0
        self.memory = Sizes(
            settings.batch_sizes,
            settings.default_batch_size,
            grows=settings.auto_sizes,
            accumulate=settings.accumulate,
            gpus=settings.gpus,
        )
        self.rng = np.random.default_rng(settings.seed)
        self._epoch_costs: dict[int, tuple[PowerProfile, float]] = {}
        self._cheapest = math.inf
        self.kinds_here: set[str] = set()
        """Kinds of GPU that runs of this search were on; an earlier history may know others."""
        self.unprofiled: set[int] = set()
        """Batch sizes that ran and brought no profile: nobody can measure there, so it is not asked again."""
        self.unprobed: dict[tuple[str, int], tuple[float, ...]] = {}
        """Limits (W), by kind of GPU and batch size, that a run was to probe and was stopped before."""

    @property
    def pending(self) -> Mapping[str, Knobs]:
        """Runs asked for and not told yet, by run id."""
        return self.flights.pending

    @property
    def sizes(self) -> tuple[int, ...]:
        """The batch sizes that can run, as far as known."""
        return self.memory.now()

    @property
    def fallback(self) -> int:
        """What runs when nothing works: the default batch size, or the largest below it that fits."""
        fits = [size for size in self.sizes if size <= self.settings.default_batch_size]
        return fits[-1] if fits else self.settings.default_batch_size

    def learn_max_power(self, max_power_w: float | None) -> None:
        """Fix MAXPOWER by the first board seen: the yardstick of a search never changes after that."""
        if self.max_power_w is None:
            self.max_power_w = max_power_or_fallback_w(max_power_w)
            self._epoch_costs.clear()

    def cost(self, measurement: Measurement | Run) -> float:
        """Cost (J) of what was measured; NaN where nothing was."""
        return cost(
            measurement.energy_j,
            measurement.time_s,
            eta=self.settings.eta,
            max_power_w=self.max_power_w,
            gpus=self.settings.gpus,
        )

    def limit_w(self, profile: PowerProfile, energy_price: float = 1.0) -> float:
        """The best power limit of a profile (W), while energy costs so many times its long-run price."""
        eta = eta_at(self.settings.eta, energy_price)
        return power.optimal_limit_w(profile, eta=eta, max_power_w=self.max_power_w, gpus=self.settings.gpus)

    def epoch_cost(self, batch_size: int, gpu: str = "") -> float:
        """Cost (J) of an epoch at the best limit; NaN where there is no profile."""
        profile = self.profiles.get(batch_size, gpu)
        if profile is None:
            return NAN
        known = self._epoch_costs.get(batch_size)
        if known is None or known[0] is not profile:
            settings, limit_w = self.settings, self.limit_w(profile)
            price = power.epoch_cost(profile, limit_w, settings.eta, settings.gpus, self.max_power_w)
            known = self._epoch_costs[batch_size] = (profile, price)
        return known[1]

    def kind_next(self, gpu: str) -> str:
        """The kind of GPU a run will be on: as told, or the only one so far; "" where nobody knows."""
        return gpu or (next(iter(self.kinds_here)) if len(self.kinds_here) == 1 else "")

    @property
    def usual_cap(self) -> float:
        """Beta times what the cheapest run to the target has really cost (J); inf while there is none."""
        return self.settings.beta * self._cheapest

    def counts(self, knobs: Knobs, outcome: Outcome) -> bool:
        """Whether an outcome says something of its batch size: not the first crash, nor a shared board."""
        size = knobs.batch_size
        if outcome.stop == StopReason.OUT_OF_MEMORY:
            return True
        if outcome.stop == StopReason.ERROR and not outcome.reached:
            return self.flights.crashed(size)
        self.flights.ended(size)
        self.memory.observe(knobs, outcome.stop)
        self._see_profile(knobs, outcome)
        return not outcome.shared

    def curves(self) -> list[tuple[int, Curve, float]]:
        """(batch size, learning curve, epochs) of runs told and in flight."""
        told = [(run.batch_size, run.curve, run.epochs) for run in self.runs if run.curve]
        return told + self.flights.curves()

    def add(self, run: Run) -> None:
        """Take a run in; an old run's learning curve is forgotten."""
        self.runs.append(run)
        self._see_cost(run)
        if len(self.runs) > CURVES_KEPT:
            old = self.runs[-CURVES_KEPT - 1]
            self.runs[-CURVES_KEPT - 1] = dataclasses.replace(old, curve=())

    def _see_profile(self, knobs: Knobs, outcome: Outcome) -> None:
        """Note what a run that has ended did not measure. What two runs came to nothing with is given up."""
        size, gpu = knobs.batch_size, outcome.gpu
        profile = self.profiles.get(size, gpu)
        if profile is None and outcome.stop not in SHORT:
            self.unprofiled.add(size)
        if profile is None:
            return
        if knobs.probe_limits_w == ():
            return
        seen = {point[0] for point in profile.points}
        on_others = {point[0] for p in self.profiles.of(gpu) for point in p.points}
        limits = knobs.probe_limits_w or sorted(on_others, reverse=True)
        left = tuple(limit_w for limit_w in limits if limit_w not in seen)
        before = self.unprobed.pop((profile.gpu, size), ())
        if left and left != before:
            self.unprobed[profile.gpu, size] = left

    def _see_cost(self, run: Run) -> None:
        cost = self.cost(run)
        if run.reached and cost > 0:
            self._cheapest = min(self._cheapest, cost)

    def state(self) -> dict[str, Any]:
        """Everything but the settings, as plain JSON."""
        return {
            "target": dataclasses.asdict(self.target),
            "max_power_w": self.max_power_w,
            "profiles": [dataclasses.asdict(profile) for profile in self.profiles.all()],
            "last_gpu": self.profiles.last_gpu,
            "runs": [dataclasses.asdict(run) for run in self.runs],
            "flights": self.flights.state(),
            "unprofiled": sorted(self.unprofiled),
            "unprobed": [[*key, list(limits)] for key, limits in self.unprobed.items()],
            "kinds_here": sorted(self.kinds_here),
            "told": self.told,
            "sizes": self.memory.state(),
            "random": self.rng.bit_generator.state,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self.target = Target(**state["target"])
        self.max_power_w = state["max_power_w"]
        raw_profiles = state["profiles"]
        self.profiles = Profiles(
            PowerProfile(**{**raw, "points": tuple(tuple(p) for p in raw["points"])}) for raw in raw_profiles
        )
        self.profiles.last_gpu = state["last_gpu"]
        self.runs = [Run.from_dict(raw) for raw in state["runs"]]
        self.flights.restore(state["flights"])
        self.unprofiled, self.kinds_here = set(state["unprofiled"]), set(state["kinds_here"])
        self.unprobed = {(gpu, size): tuple(limits) for gpu, size, limits in state["unprobed"]}
        self.told = state["told"]
        self.memory.restore(state["sizes"])
        self.rng.bit_generator.state = state["random"]
        for run in self.runs:
            self._see_cost(run)


def _measured(number: float) -> float:
    return number if math.isfinite(number) and number >= 0 else NAN
